/** Verdicts of the records of a span of time. */
export interface Span {
  /** Unix ms at which it begins. */
  readonly from: number;
  match: number;
  mismatch: number;
  notReplayable: number;
}

/** Verdicts over time, in spans of equal length. */
export interface Timeline {
  /** Length of a span in ms. */
  width: number;
  readonly spans: Map<number, Span>;
}

const FIRST_WIDTH = 60_000;
const MAX_SPANS = 240;

/** A timeline that holds nothing. */
export function emptyTimeline(): Timeline {
  return { width: FIRST_WIDTH, spans: new Map() };
}

/** Counts into a timeline; it holds at most 240 spans: their length doubles when there are more. */
export function addSpan(timeline: Timeline, { from, match, mismatch, notReplayable }: Span): void {
  const at = Math.floor(from / timeline.width) * timeline.width;
  const span = timeline.spans.get(at) ?? { from: at, match: 0, mismatch: 0, notReplayable: 0 };
  span.match += match;
  span.mismatch += mismatch;
  span.notReplayable += notReplayable;
  timeline.spans.set(at, span);
  while (timeline.spans.size > MAX_SPANS) widen(timeline);
}

/** Adds a timeline to another. */
export function addTimeline(into: Timeline, { width, spans }: Timeline): void {
  while (into.width < width) widen(into);
  for (const span of spans.values()) addSpan(into, span);
}

function widen(timeline: Timeline): void {
  const spans = [...timeline.spans.values()];
  timeline.spans.clear();
  timeline.width *= 2;
  for (const span of spans) addSpan(timeline, span);
}
