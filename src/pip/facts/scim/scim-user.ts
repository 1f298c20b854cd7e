import { isRecord } from '../../../pdp/external-json.ts';

/** By what a user is looked up: `id` is the address of the resource, everything else an attribute path of a filter. */
export type UserKey = string;

/** Attributes whose values differ by case (RFC 7643 §3.1); with the others it does not matter. */
const CASE_EXACT: ReadonlySet<string> = new Set(['id', 'externalId']);

/**
 * Whether a resource is the one that was asked for: a server that passes over a filter, as some do, would else give one user the facts of
 * another.
 */
export function isAskedFor(
  resource: Readonly<Record<string, unknown>>,
  key: UserKey,
  value: string,
): boolean {
  // ASCII alone: beyond it other letters become the same (U+212A, the Kelvin sign, is a small k), and somebody else's facts would be found.
  const fold = (text: string): string =>
    CASE_EXACT.has(key) ? text : text.replace(/[A-Z]/g, (letter) => letter.toLowerCase());
  return valuesAt(resource, key).some((found) => typeof found === 'string' && fold(found) === fold(value));
}

function valuesAt(resource: Readonly<Record<string, unknown>>, key: UserKey): readonly unknown[] {
  const colon = key.lastIndexOf(':');
  const home = colon === -1 ? resource : resource[key.slice(0, colon)];
  const [attribute = '', part] = key.slice(colon + 1).split('.');
  const value = isRecord(home) && Object.hasOwn(home, attribute) ? home[attribute] : undefined;
  const values: readonly unknown[] = Array.isArray(value) ? value : [value];
  if (part === undefined) return values;
  return values.map((entry) => (isRecord(entry) && Object.hasOwn(entry, part) ? entry[part] : undefined));
}

/** Which member of a group is its id in policies. */
export type GroupId = 'value' | 'display';

/** The ids of the groups that a User resource lists (RFC 7643 §4.1.2); one without the member that is asked for is a problem. */
export function groupsOfUser(
  resource: Readonly<Record<string, unknown>>,
  groupId: GroupId,
): readonly string[] | { readonly problem: string } {
  const groups = resource['groups'] ?? [];
  if (!Array.isArray(groups)) return { problem: "has no list at '/groups'" };
  const ids: string[] = [];
  for (const [index, group] of (groups as readonly unknown[]).entries()) {
    const id = isRecord(group) ? group[groupId] : undefined;
    if (typeof id !== 'string' || id === '')
      return { problem: `has no text at '/groups/${index}/${groupId}'` };
    ids.push(id);
  }
  return [...new Set(ids)];
}

/** The ids of Group resources (RFC 7643 §4.2). */
export function idsOfGroups(
  resources: readonly Readonly<Record<string, unknown>>[],
  groupId: GroupId,
): readonly string[] | { readonly problem: string } {
  const member = groupId === 'value' ? 'id' : 'displayName';
  const ids: string[] = [];
  for (const [index, resource] of resources.entries()) {
    const id = resource[member];
    if (typeof id !== 'string' || id === '')
      return { problem: `has no text at '/Resources/${index}/${member}'` };
    ids.push(id);
  }
  return ids;
}
