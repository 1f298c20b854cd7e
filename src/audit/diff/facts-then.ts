import type { AttributeRecord } from '../../pdp/attribute.ts';
import { type CedarEntity, type CedarValue, type EntityUid, uidText } from '../../pdp/evaluation.ts';
import type { Comparison } from './comparison.ts';
import type { Lack } from './lack.ts';
import type { RecordedFact } from './recorded.ts';

/** What was known of an entity for one request: what was recorded without what the policy set itself said. */
export interface FactsThen {
  readonly attributes: Readonly<Record<string, CedarValue>>;
  readonly parents: readonly EntityUid[];
  /** Attributes that the old policy set gave, and of which there is no telling whether somebody else gave them as well. */
  readonly unsure: readonly string[];
  /** Types of parents of whom the same holds. */
  readonly unsureParents: readonly string[];
}

const NOTHING: FactsThen = { attributes: {}, parents: [], unsure: [], unsureParents: [] };

/**
 * Takes out of a recorded entity what was static data of the old policy set: static data belongs to the policies, not to the facts. What
 * both may have given is unsure, but where the new set says the same of it.
 */
export function factsThen(
  recorded: CedarEntity | undefined,
  { old, next }: Comparison,
  mayBeGiven: { attribute(name: string): boolean; parent(uid: EntityUid): boolean },
): FactsThen {
  if (!recorded) return NOTHING;
  const text = uidText(recorded.uid);
  const [was, is] = [old.staticEntity(text), next.staticEntity(text)];
  if (!was) return { ...NOTHING, attributes: recorded.attrs, parents: recorded.parents };
  const attributes: Record<string, CedarValue> = {};
  const unsure: string[] = [];
  for (const [name, value] of Object.entries(recorded.attrs)) {
    if (!isSame(was.attrs, name, value)) attributes[name] = value;
    else if (!(is && isSame(is.attrs, name, value)) && mayBeGiven.attribute(name)) unsure.push(name);
  }
  const fixed = recorded.parents.filter((parent) => isAmong(parent, was.parents));
  const lost = fixed.filter((parent) => !isAmong(parent, is?.parents ?? []) && mayBeGiven.parent(parent));
  return {
    attributes,
    parents: recorded.parents.filter((parent) => !fixed.includes(parent)),
    unsure,
    unsureParents: [...new Set(lost.map(({ type }) => type))],
  };
}

function isSame(attributes: Readonly<Record<string, CedarValue>>, name: string, value: CedarValue): boolean {
  return Object.hasOwn(attributes, name) && JSON.stringify(attributes[name]) === JSON.stringify(value);
}

function isAmong({ type, id }: EntityUid, uids: readonly EntityUid[]): boolean {
  return uids.some((uid) => uid.type === type && uid.id === id);
}

/**
 * Whether something that is lacking may have been there: what is part of a record only where that is, and what has another maximum age
 * only where that would have made a difference.
 */
export function isLacking(
  { path, ageing, ofMembers }: Lack,
  values: AttributeRecord | Readonly<Record<string, CedarValue>>,
  facts: readonly RecordedFact[],
): boolean {
  if (ageing) return isAgeingOpen(path, ageing, valueAt(path, values) !== undefined, facts);
  if (ofMembers) return valueAt(path, values) !== undefined;
  return path.length === 1 || valueAt(path.slice(0, -1), values) !== undefined;
}

function isAgeingOpen(
  path: readonly string[],
  { was, is }: NonNullable<Lack['ageing']>,
  present: boolean,
  facts: readonly RecordedFact[],
): boolean {
  const text = path.join('.');
  const isLooser = is === undefined || (was !== undefined && is > was);
  if (isLooser)
    return facts.some(({ leftOut }) => leftOut.some((name) => name === text || text.startsWith(`${name}.`)));
  return present && facts.some(({ found, ageMs }) => found && ageMs > is);
}

function valueAt(path: readonly string[], values: object): unknown {
  let at: unknown = values;
  for (const name of path)
    at =
      typeof at === 'object' && at !== null && Object.hasOwn(at, name)
        ? (at as Record<string, unknown>)[name]
        : undefined;
  return at;
}
