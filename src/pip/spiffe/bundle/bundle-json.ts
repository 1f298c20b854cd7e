import { externalJsonProblem, isRecord } from '../../../pdp/external-json.ts';
import type { BundleProblem } from '../x509/authorities.ts';
import { duplicateKeyProblem } from '../../../pdp/json-duplicates.ts';

/** Longest bundle that is read, in characters. */
export const MAX_BUNDLE_CHARACTERS = 1_048_576;

// A bundle map of a hundred trust domains with a dozen keys each.
const MAX_NODES = 50_000;

/** An object of a JSON text. */
export type JsonObject = Readonly<Record<string, unknown>>;

/**
 * Parses the JSON of a bundle document or bundle map; repeated member names and whatever {@link externalJsonProblem} names are refused.
 * Every `spiffe_sequence` becomes the text of its number after a `#`, for a 64-bit number does not fit into a double, and null where it
 * is no number.
 */
export function parseBundleJson(text: string): { readonly value: JsonObject } | BundleProblem {
  if (text.length > MAX_BUNDLE_CHARACTERS)
    return { problem: `is longer than ${MAX_BUNDLE_CHARACTERS} characters` };
  try {
    const value: unknown = JSON.parse(text, exactSequence);
    if (!isRecord(value)) return { problem: 'is not a JSON object' };
    const problem = duplicateKeyProblem(text) ?? externalJsonProblem(value, { maxNodes: MAX_NODES });
    return problem === undefined ? { value } : { problem };
  } catch {
    return { problem: 'is not JSON' };
  }
}

function exactSequence(key: string, value: unknown, context?: { readonly source?: string }): unknown {
  if (key !== 'spiffe_sequence') return value;
  return typeof value === 'number' ? `#${context?.source ?? ''}` : null;
}
