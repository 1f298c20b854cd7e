import type { Bucket } from './change.ts';

/** Buckets over time, in spans of equal length. */
export interface Timeline {
  /** Length of a span in ms. */
  width: number;
  /** By Unix ms at which they begin. */
  readonly spans: Map<number, Partial<Record<Bucket, number>>>;
}

const FIRST_WIDTH = 60_000;
const MAX_SPANS = 240;

/** A timeline that holds nothing. */
export function emptyTimeline(): Timeline {
  return { width: FIRST_WIDTH, spans: new Map() };
}

/** Counts into a timeline; it holds at most 240 spans: their length doubles when there are more. What has no time is left out. */
export function addToTimeline(timeline: Timeline, unixMs: number, bucket: Bucket): void {
  if (Number.isNaN(unixMs)) return;
  add(timeline, unixMs, { [bucket]: 1 });
  while (timeline.spans.size > MAX_SPANS) {
    const spans = [...timeline.spans];
    timeline.spans.clear();
    timeline.width *= 2;
    for (const [from, counts] of spans) add(timeline, from, counts);
  }
}

function add({ width, spans }: Timeline, unixMs: number, counts: Partial<Record<Bucket, number>>): void {
  const from = Math.floor(unixMs / width) * width;
  const span = spans.get(from) ?? {};
  for (const [bucket, more] of Object.entries(counts) as [Bucket, number][])
    span[bucket] = (span[bucket] ?? 0) + more;
  spans.set(from, span);
}
