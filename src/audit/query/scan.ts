import { messageOf } from '../../pdp/errors.ts';
import { type LogRecord, parseRecord } from '../read/decision-record.ts';
import type { LogSegment } from '../read/log-folder.ts';
import { isAbsence, linesOf } from '../read/segment-source.ts';
import { segmentsWithin, timeOf } from '../read/segments-within.ts';
import { type TimeRange, isWhole, isWithin } from '../read/time-range.ts';

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

/**
 * The records of a segment, or of those only the ones whose lines hold `needle`. A segment that was removed since the folder was listed holds none. Throws an
 * `Error` where it cannot be read and nobody is there to be told.
 */
export async function* recordsIn(
  segment: LogSegment,
  listener: ScanListener = {},
  needle?: Buffer,
): AsyncGenerator<FoundRecord> {
  let bad = 0;
  try {
    for await (const { lines, torn } of linesOf(segment)) {
      for (const line of torn ? [] : lines) {
        if (needle && !line.includes(needle)) continue;
        const record = parseRecord(line);
        if (record) yield { line, record, segment };
        else bad += 1;
      }
    }
  } catch (error) {
    const gone = isAbsence(error);
    const words = gone
      ? `${segment.name} was removed before it was read`
      : `${segment.name} cannot be read to its end (${messageOf(error)})`;
    if (!gone && !listener.onProblem) throw new Error(words, { cause: error });
    listener.onProblem?.(`${words}: its records are missing here`);
  }
  if (bad > 0)
    listener.onProblem?.(
      `${segment.name} has ${bad} lines that are no records; ask pdp audit verify about them`,
    );
}
