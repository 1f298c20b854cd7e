import { type LogRecord, parseRecord } from './decision-record.ts';
import { type LogSegment, logSegments } from './log-folder.ts';
import { currentForm, linesOf } from './segment-source.ts';
import { type TimeRange, isWhole } from './time-range.ts';

/**
 * How far the times in a log may be out of order, in ms: a decision is recorded after its time, and clocks are set back. Segments are only left out
 * where they are outside of the range by more.
 */
export const DISORDER_MS = 10 * 60_000;

const HEAD_BYTES = 128 * 1024;

/** The segments that can hold records of a range, oldest first. Throws `InputError` where there is no log. */
export async function segmentsWithin(dir: string, range: TimeRange): Promise<readonly LogSegment[]> {
  const segments = logSegments(dir);
  if (isWhole(range)) return segments;
  const begins = await Promise.all(segments.map(firstTime));
  return segments.filter((_segment, at) => {
    const [begin, end] = [begins[at], begins[at + 1]];
    if (range.to !== undefined && begin !== undefined && begin - DISORDER_MS >= range.to) return false;
    return range.from === undefined || end === undefined || end + DISORDER_MS >= range.from;
  });
}

/** Unix ms of a segment's first record; `undefined`: it says none. */
export async function firstTime(segment: LogSegment): Promise<number | undefined> {
  try {
    for await (const { lines } of linesOf({ ...currentForm(segment), end: HEAD_BYTES }))
      return timeOf(parseRecord(lines[0] ?? '') ?? {});
  } catch {
    // Whoever reads it whole is told why it cannot be.
  }
  return undefined;
}

/** Unix ms of a record; `undefined`: it says none. */
export function timeOf(record: LogRecord): number | undefined {
  const { timestamp } = record;
  const time = typeof timestamp === 'string' ? Date.parse(timestamp) : Number.NaN;
  return Number.isNaN(time) ? undefined : time;
}

/** Unix ms of an id's decision (UUIDv7, RFC 9562 §5.7); `undefined`: it says none. */
export function timeOfId(id: string): number | undefined {
  return /^[0-9a-f]{8}-[0-9a-f]{4}-7/.test(id)
    ? Number.parseInt(id.slice(0, 8) + id.slice(9, 13), 16)
    : undefined;
}

const HOUR_MS = 3_600_000;

/** When a decision was made, by its id, give or take an hour; the whole log where the id does not say. */
export function rangeAround(id: string): TimeRange {
  const time = timeOfId(id);
  return time === undefined ? {} : { from: time - HOUR_MS, to: time + HOUR_MS };
}
