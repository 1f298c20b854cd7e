import { existsSync } from 'node:fs';
import { messageOf } from '../../pdp/errors.ts';
import { type LogRecord, parseRecord } from '../read/decision-record.ts';
import { type LineSource, readLines } from '../read/line-reader.ts';
import { type LogSegment, logSegments } from '../read/log-folder.ts';
import { type TimeRange, isWhole, isWithin } from './time-range.ts';

/** A record with the exact bytes of its line. */
export interface FoundRecord {
  readonly line: Buffer;
  readonly record: LogRecord;
  readonly segment: LogSegment;
}

/** How far a scan has come. */
export interface ScanProgress {
  readonly records: number;
  readonly segments: number;
  /** Of how many that have to be read. */
  readonly of: number;
}

/** What is told while a log is scanned. */
export interface ScanListener {
  onProgress?(progress: ScanProgress): void;
  /** Lines that hold no record, or a segment that cannot be read: what may be missing from the result, in words. */
  onProblem?(words: string): void;
}

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
    for await (const { lines } of readLines({ ...sourceOf(segment), end: HEAD_BYTES }))
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

/** The records of a range in the order of the log. Half a line at its end is left out: it is not written yet. */
export async function* scanRecords(
  dir: string,
  range: TimeRange,
  listener: ScanListener = {},
): AsyncGenerator<FoundRecord> {
  const segments = await segmentsWithin(dir, range);
  let records = 0;
  for (const [at, segment] of segments.entries()) {
    for await (const found of recordsIn(segment, listener)) {
      records += 1;
      if (records % 5000 === 0) listener.onProgress?.({ records, segments: at, of: segments.length });
      const time = timeOf(found.record);
      if (isWhole(range) || (time !== undefined && isWithin(range, time))) yield found;
    }
  }
  listener.onProgress?.({ records, segments: segments.length, of: segments.length });
}

/** The records of a segment, or of those only the ones whose lines hold `needle`. Throws an `Error` where it cannot be read and nobody is there to be told. */
export async function* recordsIn(
  segment: LogSegment,
  listener: ScanListener = {},
  needle?: Buffer,
): AsyncGenerator<FoundRecord> {
  let bad = 0;
  try {
    for await (const { lines, torn } of readLines(sourceOf(segment))) {
      for (const line of torn ? [] : lines) {
        if (needle && !line.includes(needle)) continue;
        const record = parseRecord(line);
        if (record) yield { line, record, segment };
        else bad += 1;
      }
    }
  } catch (error) {
    const words = `${segment.name} cannot be read to its end (${messageOf(error)})`;
    if (!listener.onProblem) throw new Error(words, { cause: error });
    listener.onProblem(`${words}: its records are missing here`);
  }
  if (bad > 0)
    listener.onProblem?.(
      `${segment.name} has ${bad} lines that are no records; ask pdp audit verify about them`,
    );
}

/** Where a segment is by now: it may have been compressed since the folder was listed. */
export function sourceOf(segment: LogSegment): LineSource {
  const { path, compressed } = segment;
  if (compressed || existsSync(path) || !existsSync(`${path}.gz`)) return { path, compressed };
  return { path: `${path}.gz`, compressed: true };
}
