import { harmless } from '../query/row.ts';
import type { ReplayReport } from './replay-log.ts';
import { MEANS_WORDS, percentText, verdictSentence } from './report-words.ts';
import { type Case, recordsIn } from './tally.ts';
import { MEANS, type Mismatch, NOT_REPLAYABLE, WHY_WORDS } from './verdict.ts';

const SHOWN = 10;

/** The run in words, for a terminal. */
export function replayText(dir: string, { tally, durationMs, segments, jobs }: ReplayReport): string {
  const records = recordsIn(tally);
  const seconds = durationMs / 1000;
  const rate = Math.round(records / Math.max(seconds, 0.001));
  const lines = [
    row('log', dir),
    row(
      'records',
      `${records} decisions in ${segments} segments, ${tally.first ?? '-'} to ${tally.last ?? '-'}`,
    ),
    row('rate', `${rate}/s (${seconds.toFixed(1)} s, ${jobs} ${jobs === 1 ? 'thread' : 'threads'})`),
    row(
      'MATCH',
      `${tally.match} (${percentText(tally.match, tally.match + tally.mismatch)} of what was replayed)`,
    ),
    ...MEANS.filter((by) => tally.by[by] > 0).map((by) => row('', `${tally.by[by]} ${MEANS_WORDS[by]}`)),
    row('MISMATCH', String(tally.mismatch)),
    ...tally.mismatches.slice(0, SHOWN).map((found) => row('', mismatchText(found))),
    ...(tally.mismatch > SHOWN ? [row('', `and ${tally.mismatch - SHOWN} more`)] : []),
    row('NOT_REPLAYABLE', String(tally.notReplayable)),
    ...NOT_REPLAYABLE.filter((why) => tally.why[why] > 0).map((why) =>
      row('', `${tally.why[why]} ${why}: ${WHY_WORDS[why]}`),
    ),
    verdictSentence(tally).text,
  ];
  return lines.map((line) => `${harmless(line)}\n`).join('');
}

function row(name: string, value: string): string {
  return `${name.padEnd(14)} ${value}`;
}

/** A mismatch in words. */
export function mismatchText({ index, decisionId, verdict }: Case<Mismatch>): string {
  const { field, recorded, replayed } = verdict;
  return `record ${index ?? '?'}, decision ${decisionId ?? '?'}: ${field} was recorded as ${recorded}, and comes out as ${replayed}`;
}
