import type { EntityUid } from '../evaluation.ts';
import type { Reads, RecordShape, ValueType } from '../policy-snapshot.ts';
import type { SchemaShapes } from '../schema-shape.ts';

/** What becomes of a record on its way to the engine. */
export interface RecordPlan {
  readonly fields: ReadonlyMap<string, FieldPlan>;
  /** Names of the fields that must be there. */
  readonly required: readonly string[];
}

/** What becomes of one field. */
export interface FieldPlan {
  readonly required: boolean;
  readonly type: ValueType;
  /** Whether policies can read it; what they cannot is checked here and not told to the engine. */
  readonly read: boolean;
  /** Of a record of which policies read only parts. */
  readonly parts?: RecordPlan;
}

/** What becomes of an entity of one type. */
export interface EntityPlan extends RecordPlan {
  /** Types that its parents may have. */
  readonly parentTypes: readonly string[];
  /** The only ids, where the type is an enumeration. */
  readonly ids?: ReadonlySet<string>;
}

/** What becomes of a question about one action. */
export interface QuestionPlan {
  readonly action: EntityUid;
  readonly context: RecordPlan;
  /** By entity type: those that policies can get to from such a question. */
  readonly entities: ReadonlyMap<string, EntityPlan>;
  /** By entity type: the others. */
  readonly unreached: ReadonlyMap<string, EntityPlan>;
}

/** What plans are made from. */
export interface Planning {
  readonly shapes: SchemaShapes;
  readonly reads: Reads;
  /** Types of the static entities. */
  readonly staticTypes: ReadonlySet<string>;
}

type Names = ReadonlySet<string> | 'all';

/** `undefined` where such questions are told to the engine as they are: the schema holds what is not understood here. */
export function planQuestion(action: string, planning: Planning): QuestionPlan | undefined {
  const { shapes, reads } = planning;
  const [scope, shape] = [shapes.appliesTo.get(action), shapes.contexts.get(action)];
  if (!scope || !shape) return undefined;
  const context = planRecord(shape, reads.contextKeys, reads);
  const entities =
    context && planEntities(context, [...scope.principalTypes, ...scope.resourceTypes], planning);
  return entities && { action: scope.uid, context, entities, unreached: planUnreached(entities, planning) };
}

/** From what a question names on, as far as policies can follow. */
function planEntities(
  context: RecordPlan,
  named: readonly string[],
  { shapes, reads, staticTypes }: Planning,
): Map<string, EntityPlan> | undefined {
  const plans = new Map<string, EntityPlan>();
  const open = new Set([...named, ...staticTypes, ...typesIn(context)]);
  // A set grows while it is walked.
  for (const type of open) {
    const shape = shapes.entities.get(type);
    const plan = shape && planRecord(shape, reads.attributes, reads);
    if (!plan) return undefined;
    const { ids } = shape;
    // Parents of other types are not in questions, since they matter to no policy.
    const parentTypes = [...shape.parentTypes].filter(
      (parent) => reads.entityTypes.has(parent) || staticTypes.has(parent),
    );
    plans.set(type, { ...plan, parentTypes, ...(ids && { ids }) });
    for (const next of [...parentTypes, ...typesIn(plan)]) open.add(next);
  }
  return plans;
}

function planUnreached(
  reached: ReadonlyMap<string, EntityPlan>,
  { shapes, reads }: Planning,
): Map<string, EntityPlan> {
  const plans = new Map<string, EntityPlan>();
  for (const [type, shape] of shapes.entities) {
    const plan = reached.has(type) ? undefined : planRecord(shape, new Set(), reads);
    if (plan) plans.set(type, { ...plan, parentTypes: [], ...(shape.ids && { ids: shape.ids }) });
  }
  return plans;
}

/** Cedar's JSON, or JavaScript, has meanings of its own for these. */
const SPECIAL: ReadonlySet<string> = new Set(['__entity', '__extn', '__expr', '__proto__']);

function planRecord({ fields }: RecordShape, names: Names, reads: Reads): RecordPlan | undefined {
  const plans = new Map<string, FieldPlan>();
  const required: string[] = [];
  for (const [name, field] of fields) {
    if (SPECIAL.has(name) || holdsSpecial(field.type)) return undefined;
    const read = names === 'all' || names.has(name);
    const inner = names === 'all' || reads.wholeAttributes.has(name) ? 'all' : reads.attributes;
    const parted = read && inner !== 'all' && field.type.kind === 'record';
    const parts = parted ? planRecord(field.type.shape, inner, reads) : undefined;
    if (parted && !parts) return undefined;
    plans.set(name, { required: field.required, type: field.type, read, ...(parts && { parts }) });
    if (field.required) required.push(name);
  }
  return { fields: plans, required };
}

function holdsSpecial(type: ValueType): boolean {
  if (type.kind === 'set') return holdsSpecial(type.element);
  if (type.kind !== 'record') return false;
  return [...type.shape.fields].some(([name, field]) => SPECIAL.has(name) || holdsSpecial(field.type));
}

/** The entity types that what policies read of a record refers to. */
function* typesIn({ fields }: RecordPlan): Iterable<string> {
  for (const { read, type, parts } of fields.values()) {
    if (parts) yield* typesIn(parts);
    else if (read) yield* typesOf(type);
  }
}

function* typesOf(type: ValueType): Iterable<string> {
  if (type.kind === 'entity') yield type.type;
  else if (type.kind === 'set') yield* typesOf(type.element);
  else if (type.kind === 'record') for (const field of type.shape.fields.values()) yield* typesOf(field.type);
}
