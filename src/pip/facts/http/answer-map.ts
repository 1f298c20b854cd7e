import type { AttributeRecord, AttributeValue } from '../../../pdp/attribute.ts';
import {
  externalJsonProblem,
  isRecord,
  isReservedKey,
  toAttributeValue,
} from '../../../pdp/external-json.ts';
import { ABSENT, type ReadFacts } from '../fact-reading.ts';
import { atPointer, memberPointer } from '../json-pointer.ts';
import { readGroups, readInstant } from '../subject-facts.ts';

/** Where in an answer the facts are, as JSON Pointers (RFC 6901). What has none is the member of the document with its name. */
export interface AnswerMap {
  readonly attributes?: ReadonlyMap<string, string>;
  readonly groups?: string;
  readonly observedAt?: string;
  /** Points to what is there only where the source knows the subject: an object, or `true`. What is around it is always there. */
  readonly found?: string;
}

/**
 * Makes the reader of a source's answers: `gives` names what it reads, `groups` among them. What is read passes the rules for JSON from
 * outside; what pointers do not lead to is not looked at. Null is absence.
 */
export function answerReader(map: AnswerMap, gives: readonly string[]): ReadFacts {
  const names = gives.filter((name) => name !== 'groups' && !isReservedKey(name));
  const pointers = new Map(
    names.map((name) => [name, map.attributes?.get(name) ?? memberPointer(name)] as const),
  );
  const groupsAt = gives.includes('groups') ? (map.groups ?? '/groups') : undefined;
  const observedAt = map.observedAt ?? '/observed_at';
  const isPlain = Object.keys(map).length === 0;
  return (json) => {
    const problem = isPlain ? plainProblem(json) : shapeProblem(json);
    if (problem !== undefined) return { problem };
    const known = map.found === undefined ? true : readFound(json, map.found);
    if (typeof known !== 'boolean') return known;
    if (!known) return ABSENT;
    const attributes = readAttributes(json, pointers);
    if ('problem' in attributes) return attributes;
    const groups = groupsAt === undefined ? [] : readGroupsAt(json, groupsAt);
    if ('problem' in groups) return groups;
    const observed = readObservedAt(json, observedAt);
    return 'problem' in observed ? observed : { status: 'found', ...attributes, groups, ...observed };
  };
}

/** An answer that is as it should be without a map is judged whole. */
function plainProblem(json: unknown): string | undefined {
  return isRecord(json) ? externalJsonProblem(json) : 'is not an object';
}

function shapeProblem(json: unknown): string | undefined {
  return isRecord(json) || Array.isArray(json) ? undefined : 'is neither an object nor an array';
}

function readFound(json: unknown, pointer: string): boolean | { readonly problem: string } {
  // An error that comes with status 200 must not be taken for absence: what would hold the subject has to be there.
  const around = pointer.slice(0, Math.max(0, pointer.lastIndexOf('/')));
  if (atPointer(json, around) === undefined) return { problem: `has nothing at '${around}'` };
  const value = atPointer(json, pointer);
  if (value === undefined || value === false) return false;
  return (
    value === true ||
    isRecord(value) || { problem: `has neither an object nor true or false at '${pointer}'` }
  );
}

function readAttributes(
  json: unknown,
  pointers: ReadonlyMap<string, string>,
): { readonly attributes: AttributeRecord } | { readonly problem: string } {
  const attributes: Record<string, AttributeValue> = {};
  for (const [name, pointer] of pointers) {
    const value = atPointer(json, pointer);
    if (value === undefined) continue;
    const problem = externalJsonProblem(value);
    if (problem !== undefined) return { problem: `${problem} at '${pointer}'` };
    const attribute = toAttributeValue(value);
    if (attribute === undefined) return { problem: `has a value at '${pointer}' that policies cannot hold` };
    attributes[name] = attribute;
  }
  return { attributes };
}

function readGroupsAt(json: unknown, pointer: string): readonly string[] | { readonly problem: string } {
  const value = atPointer(json, pointer);
  const problem = externalJsonProblem(value ?? null);
  if (problem !== undefined) return { problem: `${problem} at '${pointer}'` };
  return (
    readGroups(value) ?? { problem: `has something else than an array of non-empty strings at '${pointer}'` }
  );
}

function readObservedAt(
  json: unknown,
  pointer: string,
): { readonly observedAt?: number } | { readonly problem: string } {
  const value = atPointer(json, pointer);
  if (value === undefined) return {};
  const observedAt = readInstant(value);
  if (observedAt === undefined)
    return { problem: `has neither an RFC 3339 time nor Unix seconds at '${pointer}'` };
  return { observedAt };
}
