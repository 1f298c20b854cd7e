import type { FetchedFacts } from './fact-source.ts';

const MOST_ATTRIBUTES = 1000;
const MOST_GROUPS = 1000;
const MOST_BYTES = 262_144;

/** How long an answer is as JSON, in characters, or why it is too much. */
export type AnswerSize = { readonly length: number } | { readonly problem: string };

/** Measures an answer: at most 1000 attributes, 1000 groups, and 256 KiB. */
export function measureAnswer({ attributes, groups }: FetchedFacts): AnswerSize {
  if (groups.length > MOST_GROUPS) return { problem: `the answer holds more than ${MOST_GROUPS} groups` };
  if (Object.keys(attributes).length > MOST_ATTRIBUTES) {
    return { problem: `the answer holds more than ${MOST_ATTRIBUTES} attributes` };
  }
  const text = JSON.stringify([attributes, groups]);
  if (Buffer.byteLength(text) > MOST_BYTES)
    return { problem: `the answer is longer than ${MOST_BYTES} bytes` };
  return { length: text.length };
}
