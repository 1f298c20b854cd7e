import { BUCKETS, WHY } from './change.ts';
import type { DiffReport } from './diff-log.ts';
import { type Group, type Groups, MAX_PRINCIPALS, largest } from './group.ts';
import { headline } from './report-words.ts';
import { type BucketGroups, DIMENSIONS, GROUPED, MAX_DISTINCT, comparedIn } from './tally.ts';

/** What a report is about, beside the comparison. */
export interface DiffAbout {
  readonly dir: string;
  /** Folders of the new policies. */
  readonly folders: readonly string[];
  /** Which decisions were compared, in words. */
  readonly scope: string;
  /** Unix ms of the run. */
  readonly now: number;
}

/** The comparison for machines, as one line of JSON (docs/audit-log.md). */
export function diffJson(report: DiffReport, { dir, folders, scope, now }: DiffAbout): string {
  const { tally, policies, facts, segments, durationMs } = report;
  const compared = comparedIn(tally);
  const json = {
    log: dir,
    policies: { folders, digest: policies },
    facts,
    scope,
    made: new Date(now).toISOString(),
    headline: headline(tally).text,
    decisions: compared,
    buckets: tally.buckets,
    before_policies: tally.byStage,
    base: tally.base,
    left_out: tally.aside,
    may_be: tally.open,
    ...Object.fromEntries(GROUPED.map((bucket) => [bucket, bucketJson(tally.groups[bucket])])),
    not_replayable: [...tally.why].map(([why, groups]) => ({
      why,
      words: WHY[why],
      ...namedGroups(groups, 'about'),
    })),
    errors: namedGroups(tally.errors, 'reason'),
    timeline: timelineJson(report),
    first: tally.first,
    last: tally.last,
    segments,
    duration_ms: Math.round(durationMs),
    rate: Math.round(compared / Math.max(durationMs / 1000, 0.001)),
  };
  return `${JSON.stringify(json)}\n`;
}

function bucketJson(groups: BucketGroups): object {
  return {
    ...distinct(groups.principals, MAX_DISTINCT),
    ...Object.fromEntries(DIMENSIONS.map((name) => [`by_${name}`, namedGroups(groups[name], name)])),
  };
}

function namedGroups(groups: Groups, name: string): object {
  return {
    groups: largest(groups).map(([text, group]) => groupJson(name, text, group)),
    decisions_of_other_groups: groups.others,
  };
}

function groupJson(
  name: string,
  text: string,
  { count, first, last, examples, principals, ways }: Group,
): object {
  return {
    [name]: text,
    decisions: count,
    ...distinct(principals, MAX_PRINCIPALS),
    first,
    last,
    examples,
    ways: Object.fromEntries(ways),
  };
}

/** `principals_more`: there are more than are counted. */
function distinct(principals: ReadonlySet<string>, max: number): object {
  return principals.size > max ? { principals: max, principals_more: true } : { principals: principals.size };
}

function timelineJson({ tally: { timeline } }: DiffReport): object {
  const spans = [...timeline.spans].sort(([one], [other]) => one - other);
  return {
    span_ms: timeline.width,
    spans: spans.map(([from, counts]) => ({
      from: new Date(from).toISOString(),
      ...Object.fromEntries(BUCKETS.map((bucket) => [bucket, counts[bucket] ?? 0])),
    })),
  };
}
