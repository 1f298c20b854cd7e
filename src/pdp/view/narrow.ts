import type { CedarEntity, CedarRequest, CedarValue } from '../evaluation.ts';
import { conforms, isPlain, isText, isUid, uidIn } from './conforms.ts';
import type { EntityPlan, FieldPlan, QuestionPlan, RecordPlan } from './plan.ts';

/**
 * The question without what no policy reads, for the schema without it. `undefined` where the engine might refuse something of what would be
 * left out, or read it in another way: it has to see the whole then.
 */
export function narrowed(request: CedarRequest, plan: QuestionPlan): CedarRequest | undefined {
  const context = narrowedRecord(request.context, plan.context);
  const entities = context && narrowedEntities(request.entities, plan);
  return entities && { ...request, context, entities };
}

type Narrowed = { [name: string]: CedarValue };

function narrowedRecord(record: unknown, { fields, required }: RecordPlan): Narrowed | undefined {
  if (!isPlain(record)) return undefined;
  for (const name of required) if (!Object.hasOwn(record, name)) return undefined;
  const kept: Narrowed = {};
  for (const name of Object.keys(record)) {
    const field = fields.get(name);
    const value = record[name] as CedarValue | undefined;
    if (field === undefined || value === undefined) return undefined;
    if (field.read) {
      const told = narrowedValue(value, field);
      if (told === undefined) return undefined;
      kept[name] = told;
    } else if (!conforms(value, field.type)) return undefined;
  }
  return kept;
}

/** What is left whole is for the engine to check, against the same type. */
function narrowedValue(value: CedarValue, { type, parts }: FieldPlan): CedarValue | undefined {
  if (parts) return narrowedRecord(value, parts);
  // Without the escape it is less to parse.
  return type.kind === 'entity' ? uidIn(value) : value;
}

function narrowedEntities(
  entities: readonly CedarEntity[],
  { entities: reached, unreached }: QuestionPlan,
): CedarEntity[] | undefined {
  if (!Array.isArray(entities)) return undefined;
  const told: CedarEntity[] = [];
  const seen = new Set<string>();
  for (const entity of entities as readonly CedarEntity[]) {
    const type = isPlain(entity) && isUid(entity.uid) ? entity.uid.type : '';
    const plan = reached.get(type) ?? unreached.get(type);
    const attrs = plan && isWhole(entity) ? narrowedRecord(entity.attrs, plan) : undefined;
    if (!plan || !attrs) return undefined;
    const { uid, parents } = entity;
    seen.add(`${uid.type} ${uid.id}`);
    if (isSilent(entity, attrs, plan)) continue;
    if (!reached.has(type)) return undefined;
    told.push({ uid, attrs, parents });
  }
  // The same entity twice is an error unless both say the same.
  return seen.size === entities.length ? told : undefined;
}

/** Whether it has the members that are looked at, and no others. */
function isWhole(entity: CedarEntity): boolean {
  return Array.isArray(entity.parents) && entity.tags === undefined && Object.keys(entity).length === 3;
}

/** Policies cannot tell an entity that says nothing from one that is not there. */
function isSilent({ uid, parents }: CedarEntity, attrs: CedarEntity['attrs'], { ids }: EntityPlan): boolean {
  if (parents.length > 0 || ids !== undefined || !isText(uid.id)) return false;
  for (const _name in attrs) return false;
  return true;
}
