import { barChart } from '../report/bars.ts';
import { type Figure, countText, htmlPage, htmlSection, htmlTable } from '../report/page.ts';
import { timelineChart } from '../report/timeline-chart.ts';
import type { ReplayReport } from './replay-log.ts';
import { MEANS_WORDS, percentText, verdictSentence } from './report-words.ts';
import { type Tally, recordsIn } from './tally.ts';
import { MEANS, NOT_REPLAYABLE, WHY_WORDS } from './verdict.ts';

/** What a report is about, beside the run. */
export interface ReportAbout {
  readonly dir: string;
  readonly engine: string;
  /** Which records were replayed, in words. */
  readonly scope: string;
  /** Unix ms of the run. */
  readonly now: number;
}

/** The run as one HTML page for people who answer for it: what was replayed, how much reproduces, over time, what does not, and why. */
export function replayHtml(report: ReplayReport, { dir, engine, scope, now }: ReportAbout): string {
  const { tally, durationMs, segments } = report;
  return htmlPage({
    title: 'Replay of the decision log',
    verdict: verdictSentence(tally),
    about: [
      ['log', dir],
      ['records', scope],
      ['from', tally.first ?? 'nothing'],
      ['to', tally.last ?? 'nothing'],
      ['engine', engine],
      ['made', `${new Date(now).toISOString()}, ${segments} segments in ${(durationMs / 1000).toFixed(1)} s`],
    ],
    figures: figuresOf(tally),
    sections: [overTime(tally), means(tally), mismatches(tally), notReplayable(tally), MEANING],
  });
}

function figuresOf(tally: Tally): readonly Figure[] {
  const replayed = tally.match + tally.mismatch;
  return [
    { value: countText(recordsIn(tally)), label: 'decisions looked at' },
    { value: percentText(tally.match, replayed), label: 'of the replayed ones reproduce' },
    { value: countText(tally.match), label: 'MATCH', tone: 'good' },
    { value: countText(tally.mismatch), label: 'MISMATCH', tone: tally.mismatch > 0 ? 'bad' : 'dim' },
    {
      value: countText(tally.notReplayable),
      label: 'NOT REPLAYABLE',
      tone: tally.notReplayable > 0 ? 'warn' : 'dim',
    },
  ];
}

function overTime({ timeline }: Tally): string {
  const columns = [...timeline.spans.values()].map(({ from, match, mismatch, notReplayable: lost }) => ({
    from,
    values: [match, lost, mismatch],
  }));
  const series = [
    { name: 'match', tone: 'good' },
    { name: 'not replayable', tone: 'warn' },
    { name: 'mismatch', tone: 'bad' },
  ] as const;
  const chart = timelineChart(columns, series, { spanMs: timeline.width, label: 'verdicts over time' });
  return htmlSection('Over time', chart === '' ? '<p>No record says its time.</p>' : chart);
}

function means({ by }: Tally): string {
  const bars = MEANS.map((one) => ({
    label: MEANS_WORDS[one],
    value: by[one],
    tone: one === 'stage_result' ? ('dim' as const) : ('good' as const),
  }));
  return htmlSection('How outcomes were found again', barChart(bars, 'replayed records by how'));
}

function mismatches({ mismatches: found, mismatch, fields }: Tally): string {
  if (found.length === 0) return htmlSection('Mismatches', '<p class="good">None.</p>');
  const bars = [...fields].map(([label, value]) => ({ label, value, tone: 'bad' as const }));
  const rows = found.map(({ index, decisionId, timestamp, verdict: { field, recorded, replayed } }) => [
    String(index ?? ''),
    timestamp ?? '',
    decisionId ?? '',
    field,
    recorded,
    replayed,
  ]);
  const table = htmlTable(['#index', 'time', 'decision id', 'field', 'recorded', 'replayed'], rows);
  const more = mismatch > found.length ? `<p>The first ${found.length} of ${countText(mismatch)}:</p>` : '';
  return htmlSection('Mismatches', `${barChart(bars, 'mismatches by field')}\n${more}${table}`);
}

function notReplayable({ why, unreplayed }: Tally): string {
  const reasons = NOT_REPLAYABLE.filter((one) => why[one] > 0);
  if (reasons.length === 0) return htmlSection('Not replayable', '<p class="good">None.</p>');
  const bars = reasons.map((one) => ({ label: WHY_WORDS[one], value: why[one], tone: 'warn' as const }));
  const rows = unreplayed.map(({ index, decisionId, timestamp, verdict }) => [
    String(index ?? ''),
    timestamp ?? '',
    decisionId ?? '',
    verdict.why,
    verdict.about ?? '',
  ]);
  const table = htmlTable(['#index', 'time', 'decision id', 'why', 'about'], rows);
  return htmlSection(
    'Not replayable',
    `${barChart(bars, 'records that cannot be replayed, by why')}\n<p>Some of each:</p>${table}`,
  );
}

const MEANING = htmlSection(
  'What this says',
  `<p>Each decision was made again from its record alone: the policies, the question and the facts are those that the log holds from then; nothing
was asked of anybody, and no clock was read. MATCH: decision, reason, stage, determining policies, failing policies, HTTP status and whether it was
enforced all come out as recorded. Refusals before the policies were asked, such as of a bad token, hold no inputs: of these only the record's own
consistency with the table of reasons was checked. Whether records are missing or were changed is for <code>pdp audit verify</code> to say.</p>`,
);
