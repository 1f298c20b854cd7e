import type { ReplayReport } from './replay-log.ts';
import { recordsIn } from './tally.ts';

/** The run for machines, as one line of JSON. */
export function replayJson({ tally, segments, durationMs, jobs }: ReplayReport): string {
  const records = recordsIn(tally);
  const { why, fields, timeline, first, last } = tally;
  const { stage_result: byStageResult, ...by } = tally.by;
  const report = {
    records,
    match: tally.match,
    mismatch: tally.mismatch,
    not_replayable: tally.notReplayable,
    by,
    by_stage_result: byStageResult,
    why,
    fields: Object.fromEntries(fields),
    from: first,
    to: last,
    segments,
    jobs,
    duration_ms: Math.round(durationMs),
    rate: Math.round(records / Math.max(durationMs / 1000, 0.001)),
    mismatches: tally.mismatches.map(({ verdict: { field, recorded, replayed }, ...found }) => ({
      ...named(found),
      field,
      recorded,
      replayed,
    })),
    unreplayed: tally.unreplayed.map(({ verdict: { why: because, about }, ...found }) => ({
      ...named(found),
      why: because,
      about,
    })),
    timeline: {
      span_ms: timeline.width,
      spans: [...timeline.spans.values()]
        .sort((a, b) => a.from - b.from)
        .map(({ from, match, mismatch, notReplayable }) => ({
          from: new Date(from).toISOString(),
          match,
          mismatch,
          not_replayable: notReplayable,
        })),
    },
  };
  return `${JSON.stringify(report)}\n`;
}

interface Named {
  readonly index: number | undefined;
  readonly decisionId: string | undefined;
  readonly timestamp: string | undefined;
}

function named({ index, decisionId, timestamp }: Named): object {
  return { index, decision_id: decisionId, timestamp };
}
