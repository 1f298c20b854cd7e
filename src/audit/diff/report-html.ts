import { harmless } from '../query/row.ts';
import { barChart } from '../report/bars.ts';
import { type Figure, countText, htmlPage, htmlSection, htmlTable } from '../report/page.ts';
import { timelineChart } from '../report/timeline-chart.ts';
import { BUCKETS, BUCKET_WORDS, WHY } from './change.ts';
import type { DiffReport } from './diff-log.ts';
import { type Group, type Groups, largest, principalsText } from './group.ts';
import type { DiffAbout } from './report-json.ts';
import { BUCKET_TONES, asideText, baseText, factsText, headline } from './report-words.ts';
import { type DiffTally, type GroupedBucket, MAX_DISTINCT, comparedIn } from './tally.ts';

const SHOWN = 25;

/** The comparison as one HTML page for people who answer for it: who gains, who loses, when, by which policy, and what cannot be told. */
export function diffHtml(report: DiffReport, { dir, folders, scope, now }: DiffAbout): string {
  const { tally, policies, durationMs, segments } = report;
  const aside = asideText(tally);
  return htmlPage({
    title: 'What other policies would have decided',
    verdict: headline(tally),
    about: [
      ['log', dir],
      ['new policies', `${folders.join(', ')} (${policies})`],
      ['facts', factsText(report)],
      ['decisions', scope],
      ['from', tally.first ?? 'nothing'],
      ['to', tally.last ?? 'nothing'],
      ['base', baseText(tally)],
      ...(aside === undefined ? [] : ([['left out', aside]] as const)),
      ['made', `${new Date(now).toISOString()}, ${segments} segments in ${(durationMs / 1000).toFixed(1)} s`],
    ],
    figures: figuresOf(tally),
    sections: [
      htmlSection(
        'What becomes of the decisions',
        barChart(bucketBars(tally), 'decisions by what becomes of them'),
      ),
      overTime(tally),
      people('Who gains access', 'gained', tally),
      people('Who loses access', 'revoked', tally),
      people('Who gets the same answer for another reason', 'reclassified', tally),
      notTold(tally),
      MEANING,
    ],
  });
}

function figuresOf({ buckets, groups, ...rest }: DiffTally): readonly Figure[] {
  const who = (bucket: GroupedBucket): string =>
    principalsText({ principals: groups[bucket].principals }, MAX_DISTINCT);
  const toneIf = (count: number, tone: Figure['tone']) =>
    count > 0 && tone ? { tone } : { tone: 'dim' as const };
  const { gained, revoked, not_replayable: open, error } = buckets;
  return [
    { value: countText(comparedIn({ buckets, groups, ...rest })), label: 'decisions compared' },
    { value: who('gained'), label: 'principals gain access', ...toneIf(gained, 'bad') },
    { value: who('revoked'), label: 'principals lose access', ...toneIf(revoked, 'warn') },
    { value: countText(open + error), label: 'decisions cannot be told', ...toneIf(open + error, 'warn') },
  ];
}

function bucketBars({ buckets }: DiffTally) {
  return BUCKETS.map((bucket) => ({
    label: `${bucket.replace('_', ' ')}: ${BUCKET_WORDS[bucket]}`,
    value: buckets[bucket],
    tone: BUCKET_TONES[bucket],
  }));
}

function overTime({ timeline }: DiffTally): string {
  const told = [
    { name: 'unchanged', tone: 'good', of: ['unchanged'] },
    { name: 'gained or error', tone: 'bad', of: ['gained', 'error'] },
    { name: 'revoked or reclassified', tone: 'warn', of: ['revoked', 'reclassified'] },
    { name: 'cannot be told', tone: 'dim', of: ['not_replayable'] },
  ] as const;
  const columns = [...timeline.spans].map(([from, counts]) => ({
    from,
    values: told.map(({ of }) => of.reduce((sum, bucket) => sum + (counts[bucket] ?? 0), 0)),
  }));
  const chart = timelineChart(columns, told, {
    spanMs: timeline.width,
    label: 'what becomes of decisions over time',
  });
  return htmlSection('Over time', chart === '' ? '<p>No record says its time.</p>' : chart);
}

function people(heading: string, bucket: GroupedBucket, { groups, buckets }: DiffTally): string {
  if (buckets[bucket] === 0) return htmlSection(heading, '<p class="good">Nobody.</p>');
  const { principal, action, resource_type: type, policy } = groups[bucket];
  const who = htmlTable(
    ['principal', 'what, and by which policy', '#decisions', 'first', 'last', 'examples'],
    largest(principal, SHOWN).map(([name, group]) => [harmless(name), ...cellsOf(group, waysText(group))]),
  );
  const others = [
    ['policy', policy],
    ['action', action],
    ['type of object', type],
  ] as const;
  const tables = others.map(([name, by]) =>
    htmlTable(
      [name, 'principals', '#decisions', 'first', 'last', 'examples'],
      largest(by, SHOWN).map(([text, group]) => [harmless(text), ...cellsOf(group, principalsText(group))]),
    ),
  );
  return htmlSection(heading, [who, moreText(principal), ...tables].join('\n'));
}

function cellsOf({ count, first, last, examples }: Group, words: string): readonly string[] {
  return [words, countText(count), first, last, examples.join(' ')].map(harmless);
}

function waysText({ ways }: Group): string {
  return [...ways].map(([way, count]) => `${way} (${countText(count)})`).join('; ');
}

function moreText({ byName, others }: Groups): string {
  if (byName.size <= SHOWN && others === 0) return '';
  const rest =
    others > 0 ? `, and ${countText(others)} decisions of principals that are not counted apart` : '';
  return `<p class="dim">The first ${Math.min(SHOWN, byName.size)} of ${countText(byName.size)}${rest}.</p>`;
}

function notTold({ why, errors, buckets }: DiffTally): string {
  if (buckets.not_replayable + buckets.error === 0)
    return htmlSection('What cannot be told', '<p class="good">Nothing.</p>');
  const rows = [...why].flatMap(([reason, groups]) =>
    largest(groups, SHOWN).map(([about, group]) => [
      WHY[reason],
      harmless(about),
      ...cellsOf(group, principalsText(group)),
    ]),
  );
  const refused = largest(errors, SHOWN).map(([about, group]) => [
    BUCKET_WORDS.error,
    about,
    ...cellsOf(group, principalsText(group)),
  ]);
  const table = htmlTable(
    ['why', 'what is missing', 'principals', '#decisions', 'first', 'last', 'examples'],
    [...rows, ...refused],
  );
  return htmlSection('What cannot be told', table);
}

const MEANING = htmlSection(
  'What this says',
  `<p>Each recorded request was put to the new policies with the facts named above. What the policies of then did not read was not recorded;
where a new policy that could matter reads it, nothing is said rather than guessed. What was refused before policies were asked, such as a bad
token, stays refused and counts as unchanged. A forecast is about requests that were made: who never asked is not in it.</p>`,
);
