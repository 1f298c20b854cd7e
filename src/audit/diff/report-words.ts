import type { Tone } from '../report/page.ts';
import { countText } from '../report/page.ts';
import type { Bucket } from './change.ts';
import type { DiffReport } from './diff-log.ts';
import { type DiffTally, MAX_DISTINCT, comparedIn } from './tally.ts';
import { principalsText } from './group.ts';

/** The colour of each bucket. */
export const BUCKET_TONES = {
  gained: 'bad',
  revoked: 'warn',
  reclassified: 'warn',
  unchanged: 'good',
  not_replayable: 'dim',
  error: 'bad',
} as const satisfies Record<Bucket, Tone>;

/** The outcome in one sentence. */
export function headline(tally: DiffTally): { readonly text: string; readonly tone: Tone } {
  const compared = comparedIn(tally);
  const { gained, revoked, reclassified, not_replayable: open, error } = tally.buckets;
  if (compared === 0) return { text: 'There was no decision to compare.', tone: 'warn' };
  const left = open + error === 0 ? '' : ` Of ${decisions(open + error)} it cannot be told.`;
  if (gained + revoked + reclassified === 0)
    return {
      text: `${open + error === 0 ? `All ${decisions(compared)} would` : `${decisions(compared - open - error)} would`} come out the same.${left}`,
      tone: open + error === 0 ? 'good' : 'warn',
    };
  const parts = [
    ...(gained > 0 ? [`${peopleOf(tally, 'gained')} would gain access (${decisions(gained)})`] : []),
    ...(revoked > 0 ? [`${peopleOf(tally, 'revoked')} would lose access (${decisions(revoked)})`] : []),
    ...(reclassified > 0 ? [`${decisions(reclassified)} would have another reason`] : []),
  ];
  const text = `Of ${decisions(compared)}: ${parts.join('; ')}.${left}`;
  return { text, tone: gained > 0 ? 'bad' : 'warn' };
}

function peopleOf({ groups }: DiffTally, bucket: 'gained' | 'revoked'): string {
  const { principals } = groups[bucket];
  const text = principalsText({ principals }, MAX_DISTINCT);
  return text === '1' ? '1 principal' : `${text} principals`;
}

/** A number of decisions in words. */
export function decisions(count: number): string {
  return count === 1 ? '1 decision' : `${countText(count)} decisions`;
}

/** Which facts were used, in words. */
export function factsText({ facts }: Pick<DiffReport, 'facts'>): string {
  return facts === 'frozen'
    ? 'frozen: those that were recorded with each decision'
    : 'current: what information points give was asked for now; all else is what was recorded';
}

/** Whether the recorded answers come out again under their own policies, in words. */
export function baseText({ base }: DiffTally): string {
  const { match, mismatch, unknown } = base;
  if (mismatch === 0 && unknown === 0) return 'every recorded answer comes out again under its own policies';
  const parts = [
    `${decisions(match)} come out again under their own policies`,
    ...(mismatch > 0
      ? [`${decisions(mismatch)} do NOT (see pdp audit replay): these are compared with what was recorded`]
      : []),
    ...(unknown > 0 ? [`of ${decisions(unknown)} it cannot be told`] : []),
  ];
  return parts.join('; ');
}

/** What was left out of the comparison, in words; `undefined`: nothing. */
export function asideText({ aside: { shadow, explained } }: DiffTally): string | undefined {
  const parts = [
    ...(shadow > 0 ? [`${countText(shadow)} made in shadow`] : []),
    ...(explained > 0 ? [`${countText(explained)} made to be explained`] : []),
  ];
  return parts.length === 0 ? undefined : `${parts.join(' and ')}: nobody acted on them`;
}
