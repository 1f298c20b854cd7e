import type { Tone } from '../report/page.ts';
import { countText } from '../report/page.ts';
import { type Tally, recordsIn } from './tally.ts';
import type { Means } from './verdict.ts';

/** How outcomes were found again, in words. */
export const MEANS_WORDS = {
  cedar: 'evaluated again by Cedar',
  memo: 'equal to a question evaluated in this run',
  reuse: "a reused answer, held against the origin's",
  stage_result: 'refused before policies were asked: record held against the table',
} as const satisfies Record<Means, string>;

/** How many of something, in words that go on with a verb: `All 3 decisions come`, `The one decision comes`. */
function allOf(count: number, what: string): string {
  return count === 1 ? `The one ${what} comes` : `All ${countText(count)} ${what}s come`;
}

/** The outcome of a run in one sentence. */
export function verdictSentence(tally: Tally): { readonly text: string; readonly tone: Tone } {
  const { match, mismatch, notReplayable } = tally;
  if (recordsIn(tally) === 0) return { text: 'There was no decision to replay.', tone: 'warn' };
  if (mismatch > 0) {
    const text = `${countText(mismatch)} of ${countText(match + mismatch)} replayed decisions come out otherwise than recorded.`;
    return { text, tone: 'bad' };
  }
  if (match === 0)
    return { text: `None of ${countText(notReplayable)} decisions can be replayed.`, tone: 'warn' };
  if (notReplayable > 0) {
    const text = `${allOf(match, 'replayed decision')} out as recorded; ${countText(notReplayable)} cannot be replayed.`;
    return { text, tone: 'warn' };
  }
  return { text: `${allOf(match, 'decision')} out as recorded.`, tone: 'good' };
}

/** A share in percent with as many digits as it takes not to say 100 % of what is less. */
export function percentText(part: number, whole: number): string {
  if (whole === 0) return '–';
  if (part === whole) return '100 %';
  const percent = (part / whole) * 100;
  for (const digits of [1, 2, 4, 6]) {
    const text = percent.toFixed(digits);
    if (Number(text) < 100) return `${text} %`;
  }
  return '< 100 %';
}
