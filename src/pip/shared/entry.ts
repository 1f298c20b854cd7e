import type { AttributeValue } from '../../pdp/attribute.ts';
import { externalJsonProblem, isRecord, toAttributeValue } from '../../pdp/external-json.ts';
import type { SharedEntry } from '../../pdp/shared-state.ts';

const MAX_KEY_BYTES = 1_024;
const MAX_VALUE_BYTES = 8 * 1_024;
const KEY = /^[a-z][a-z0-9_]*\|/;

/** How far the clocks of replicas may differ: an entry from further in the future would win over all that come after it. In ms. */
export const MAX_AHEAD_MS = 5 * 60_000;

/** Members of records in one order, so that equal values have equal bytes. */
function inOrder(value: AttributeValue): AttributeValue {
  if (typeof value !== 'object') return value;
  if (isList(value)) return value.map(inOrder);
  const members = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return Object.fromEntries(members.map(([name, member]) => [name, inOrder(member)]));
}

function isList(value: AttributeValue): value is readonly AttributeValue[] {
  return Array.isArray(value);
}

/**
 * An entry as it is kept: checked, a copy, and in the one form that its value has (`JSON.stringify` of which are the bytes that are compared).
 * Says what is wrong with it otherwise, without its value.
 */
export function readEntry(given: unknown): SharedEntry | { readonly problem: string } {
  if (!isRecord(given)) return { problem: 'is not an object' };
  const { key, rank, at, expiresAt, value } = given;
  if (typeof key !== 'string' || !KEY.test(key)) return { problem: 'has no key that begins with `<use>|`' };
  if (!key.isWellFormed() || Buffer.byteLength(key) > MAX_KEY_BYTES)
    return { problem: `has a key that is not Unicode, or is longer than ${MAX_KEY_BYTES} bytes` };
  if (!isInteger(rank) || !isInteger(at)) return { problem: 'has a rank or a time that is no integer' };
  if (expiresAt !== undefined && !(isInteger(expiresAt) && expiresAt >= 0))
    return { problem: 'has an expiry that is no time' };
  const problem = externalJsonProblem(value);
  const known = problem === undefined ? toAttributeValue(value) : undefined;
  if (known === undefined) return { problem: `has a value that ${problem ?? 'policies cannot hold'}` };
  const kept = inOrder(known);
  if (Buffer.byteLength(JSON.stringify(kept)) > MAX_VALUE_BYTES)
    return { problem: `has a value longer than ${MAX_VALUE_BYTES} bytes` };
  return { key, rank, at, ...(expiresAt !== undefined && { expiresAt }), value: kept };
}

function isInteger(value: unknown): value is number {
  return Number.isSafeInteger(value);
}

/**
 * Whether one entry stays and the other goes, both of one key and from {@link readEntry}: by rank, time, bytes of the value, and expiry, none
 * being the last. A total order, so that what is left of many entries does not depend on the order in which they came.
 */
export function outranks(one: SharedEntry, other: SharedEntry): boolean {
  if (one.rank !== other.rank) return one.rank > other.rank;
  if (one.at !== other.at) return one.at > other.at;
  const order = Buffer.compare(bytesOf(one), bytesOf(other));
  if (order !== 0) return order > 0;
  return expiryOf(one) > expiryOf(other);
}

function bytesOf({ value }: SharedEntry): Buffer {
  return Buffer.from(JSON.stringify(value));
}

/** Unix ms; `Infinity` for an entry that stays. */
export function expiryOf({ expiresAt = Number.POSITIVE_INFINITY }: SharedEntry): number {
  return expiresAt;
}
