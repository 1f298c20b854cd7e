import { setTimeout } from 'node:timers/promises';
import { type LogRecord, parseRecord } from '../read/decision-record.ts';
import { type LogSegment, logSegments } from '../read/log-folder.ts';
import { isAbsence, linesOf } from '../read/segment-source.ts';
import type { Filter } from './filter.ts';
import { Follower, type TailPosition } from './follower.ts';

/** A record of a log that is still being written. */
export interface TailedRecord {
  readonly line: Buffer;
  readonly record: LogRecord;
}

/** The last records of a log, and where reading goes on. */
export interface Tail {
  readonly records: readonly TailedRecord[];
  readonly position: TailPosition;
}

/** What {@link follow} needs. */
export interface FollowOptions {
  readonly dir: string;
  readonly position: TailPosition;
  /** Ends it. */
  readonly signal: AbortSignal;
  /** Told of what is missing or was taken back, in words. */
  readonly onProblem: (words: string) => void;
  /** Ms between two looks; 100 unless given. */
  readonly pauseMs?: number;
}

/** The last `count` records that a filter chooses. Half a line at the end is not written yet: it is read when it is whole. Throws `InputError` where there is no log. */
export async function lastRecords(dir: string, count: number, filter: Filter): Promise<Tail> {
  const segments = logSegments(dir);
  let records: readonly TailedRecord[] = [];
  let position: TailPosition | undefined;
  for (const segment of segments.toReversed()) {
    if (position && records.length >= count) break;
    const end = await endOf(segment, count - records.length, filter);
    // Retention removes the oldest first.
    if (!end) break;
    position ??= end.position;
    records = [...end.records, ...records];
  }
  return { records, position: position ?? { segment: 0, lines: 0, bytes: 0 } };
}

/** `undefined`: it was removed since the folder was listed. */
async function endOf(segment: LogSegment, count: number, filter: Filter): Promise<Tail | undefined> {
  try {
    return await readEnd(segment, count, filter);
  } catch (error) {
    if (isAbsence(error)) return undefined;
    throw error;
  }
}

async function readEnd(segment: LogSegment, count: number, filter: Filter): Promise<Tail> {
  const records: TailedRecord[] = [];
  let lines = 0;
  let bytes = 0;
  for await (const chunk of linesOf(segment)) {
    for (const line of chunk.torn ? [] : chunk.lines) {
      lines += 1;
      bytes += line.length + 1;
      const record = count > 0 ? parseRecord(line) : undefined;
      // A slice would keep the whole chunk that was read.
      if (record && filter.matches(record)) records.push({ line: Buffer.from(line), record });
      if (records.length > count * 2 + 1000) records.splice(0, records.length - count);
    }
  }
  const position = { segment: segment.firstIndex, lines, bytes };
  return { records: records.slice(Math.max(0, records.length - count)), position };
}

/** Records as they are written, from segment to segment, each once and whole, until `signal`. */
export async function* follow(options: FollowOptions): AsyncGenerator<TailedRecord> {
  const { signal, pauseMs = 100 } = options;
  const reader = new Follower(options);
  try {
    while (!signal.aborted) {
      let any = false;
      for await (const line of reader.next()) {
        any = true;
        const record = parseRecord(line);
        if (record) yield { line, record };
        if (signal.aborted) return;
      }
      if (!any) await pause(pauseMs, signal);
    }
  } finally {
    await reader.close();
  }
}

async function pause(ms: number, signal: AbortSignal): Promise<void> {
  try {
    await setTimeout(ms, undefined, { signal });
  } catch {
    // Ended; the loop sees it.
  }
}
