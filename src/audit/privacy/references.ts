import type { CedarEntity, CedarRequest, CedarValue, EntityUid } from '../../pdp/evaluation.ts';
import { isRecord } from '../../pdp/external-json.ts';
import { type Pseudonyms, kindOfType } from './pseudonyms.ts';

/** The pseudonyms of everyone whom an entity is or refers to, in attributes, tags and parents. */
export function subjectsOfEntity(entity: CedarEntity, pseudonyms: Pseudonyms): Set<string> {
  const found = new Set<string>();
  for (const uid of [entity.uid, ...entity.parents]) addSubject(uid, pseudonyms, found);
  for (const value of Object.values(entity.attrs)) addSubjects(value, pseudonyms, found);
  for (const value of Object.values(entity.tags ?? {})) addSubjects(value, pseudonyms, found);
  return found;
}

/** The pseudonyms of everyone whom a question names. */
export function subjectsOfQuestion(
  { principal, action, resource, context }: Omit<CedarRequest, 'entities'>,
  pseudonyms: Pseudonyms,
): Set<string> {
  const found = new Set<string>();
  for (const uid of [principal, action, resource]) addSubject(uid, pseudonyms, found);
  addSubjects(context, pseudonyms, found);
  return found;
}

/** Adds the pseudonym of an entity, where its type is one that is hidden. */
export function addSubject({ type, id }: EntityUid, pseudonyms: Pseudonyms, to: Set<string>): void {
  const kind = kindOfType(type);
  if (pseudonyms.hides(kind)) to.add(pseudonyms.of(kind, id));
}

/** Values are as deep as external JSON may be. */
function addSubjects(value: CedarValue, pseudonyms: Pseudonyms, to: Set<string>): void {
  if (Array.isArray(value)) {
    for (const item of value as readonly CedarValue[]) addSubjects(item, pseudonyms, to);
    return;
  }
  if (!isRecord(value)) return;
  const uid = referenceIn(value);
  if (uid) addSubject(uid, pseudonyms, to);
  else for (const member of Object.values(value)) addSubjects(member as CedarValue, pseudonyms, to);
}

function referenceIn(value: Readonly<Record<string, unknown>>): EntityUid | undefined {
  const uid = value['__entity'];
  if (!isRecord(uid)) return undefined;
  const { type, id } = uid;
  return typeof type === 'string' && typeof id === 'string' ? { type, id } : undefined;
}
