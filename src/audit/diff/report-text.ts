import { harmless } from '../query/row.ts';
import { BUCKETS, BUCKET_WORDS, WHY } from './change.ts';
import type { DiffReport } from './diff-log.ts';
import { type Group, type Groups, largest, principalsText } from './group.ts';
import type { DiffAbout } from './report-json.ts';
import { asideText, baseText, factsText, headline } from './report-words.ts';
import { type BucketGroups, DIMENSIONS, type DiffTally, GROUPED, comparedIn } from './tally.ts';

const SHOWN = 8;

/** The comparison in words, for a terminal. */
export function diffText(report: DiffReport, { dir, folders, scope }: DiffAbout): string {
  const { tally, policies, durationMs, segments } = report;
  const seconds = durationMs / 1000;
  const compared = comparedIn(tally);
  const aside = asideText(tally);
  const lines = [
    row('log', dir),
    row('policies', `${folders.join(', ')} (${policies})`),
    row('facts', factsText(report)),
    row(
      'decisions',
      `${compared} in ${segments} segments (${scope}), ${tally.first ?? '-'} to ${tally.last ?? '-'}`,
    ),
    ...(aside === undefined ? [] : [row('left out', aside)]),
    row('base', baseText(tally)),
    row('rate', `${Math.round(compared / Math.max(seconds, 0.001))}/s (${seconds.toFixed(1)} s)`),
    '',
    ...bucketLines(tally),
    ...GROUPED.flatMap((bucket) => groupLines(bucket, tally.groups[bucket])),
    ...openLines(tally),
    '',
    headline(tally).text,
  ];
  return lines.map((line) => `${harmless(line)}\n`).join('');
}

function row(name: string, value: string): string {
  return `${name.padEnd(15)}${value}`;
}

function bucketLines({ buckets, byStage }: DiffTally): readonly string[] {
  return BUCKETS.map((bucket) => {
    const stage = byStage[bucket] > 0 ? `, ${byStage[bucket]} of them before policies were asked` : '';
    return row(bucket, `${String(buckets[bucket]).padStart(9)}  ${BUCKET_WORDS[bucket]}${stage}`);
  });
}

function groupLines(bucket: string, groups: BucketGroups): readonly string[] {
  if (groups.principal.byName.size === 0) return [];
  return DIMENSIONS.flatMap((dimension) => [
    '',
    `${bucket} by ${dimension.replace('_', ' ')}`,
    ...tableLines(groups[dimension], dimension === 'principal'),
  ]);
}

function tableLines(groups: Groups, isPrincipal: boolean): readonly string[] {
  const shown = largest(groups, SHOWN);
  const more = groups.byName.size - shown.length;
  const others =
    groups.others > 0 ? `, and ${groups.others} decisions of groups that are not counted apart` : '';
  return [
    ...shown.map(([name, group]) => groupLine(name, group, isPrincipal)),
    ...(more > 0 || others !== '' ? [`  and ${more} more groups${others}`] : []),
  ];
}

function groupLine(name: string, group: Group, isPrincipal: boolean): string {
  const { count, first, last, examples, ways } = group;
  const who = isPrincipal ? [...ways.keys()].slice(0, 2).join('; ') : `${principalsText(group)} principals`;
  return `  ${String(count).padStart(9)}  ${name}  (${who}; ${first} to ${last}; e.g. ${examples[0] ?? '-'})`;
}

function openLines({ why, errors }: DiffTally): readonly string[] {
  const lines = [...why].flatMap(([reason, groups]) => [
    '',
    `not_replayable, ${reason}: ${WHY[reason]}`,
    ...tableLines(groups, false),
  ]);
  return errors.byName.size === 0 ? lines : [...lines, '', 'error', ...tableLines(errors, false)];
}
