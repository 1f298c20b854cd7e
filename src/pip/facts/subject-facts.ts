import type { AttributeRecord, AttributeValue } from '../../pdp/attribute.ts';
import { isRecord, toAttributeValue } from '../../pdp/external-json.ts';

/** What a source holds about one subject. */
export interface SubjectFacts {
  readonly attributes: AttributeRecord;
  readonly groups: readonly string[];
  /** Unix ms, where the source says it. */
  readonly observedAt?: number;
}

/** Facts, or what is wrong with them. */
export type SubjectFactsReading = SubjectFacts | { readonly problem: string };

/**
 * Reads `{ "groups": [...], "observed_at": ..., ...attributes }`: what sources hold about one subject. `observed_at` is an RFC 3339
 * time or Unix seconds. What is not in `gives`, `groups` among it, is dropped; null is absence. The value must have passed
 * `externalJsonProblem`.
 */
export function readSubjectFacts(value: unknown, gives: readonly string[]): SubjectFactsReading {
  if (!isRecord(value)) return { problem: 'is not an object' };
  const groups = readGroups(value['groups']);
  if (groups === undefined) return { problem: "has 'groups' that are not an array of non-empty strings" };
  const observed = value['observed_at'] ?? undefined;
  const observedAt = observed === undefined ? undefined : readInstant(observed);
  if (observed !== undefined && observedAt === undefined) {
    return { problem: "has an 'observed_at' that is neither an RFC 3339 time nor Unix seconds" };
  }
  const attributes: Record<string, AttributeValue> = {};
  for (const name of gives) {
    if (name === 'groups') continue;
    const member = Object.hasOwn(value, name) ? value[name] : null;
    if (member === null) continue;
    const attribute = toAttributeValue(member);
    if (attribute === undefined) return { problem: `has a value of '${name}' that policies cannot hold` };
    attributes[name] = attribute;
  }
  return {
    attributes,
    groups: gives.includes('groups') ? groups : [],
    ...(observedAt !== undefined && { observedAt }),
  };
}

/** Group ids: an array of non-empty strings, each once; none where it is missing or null, `undefined` where it is something else. */
export function readGroups(value: unknown): readonly string[] | undefined {
  if (value === undefined || value === null) return [];
  if (!Array.isArray(value)) return undefined;
  const valid = value.every((group) => typeof group === 'string' && group !== '');
  return valid ? [...new Set(value as string[])] : undefined;
}

const RFC_3339 = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(?:\.\d{1,9})?(?:Z|[+-]\d{2}:\d{2})$/;

/** Unix ms of an RFC 3339 time or of Unix seconds; `undefined` where it is neither. */
export function readInstant(value: unknown): number | undefined {
  if (typeof value === 'number') return value >= 0 && value < 1e11 ? Math.floor(value * 1000) : undefined;
  if (typeof value !== 'string' || !RFC_3339.test(value)) return undefined;
  const instant = Date.parse(value);
  return Number.isNaN(instant) ? undefined : instant;
}
