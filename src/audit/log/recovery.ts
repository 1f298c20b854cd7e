import { join } from 'node:path';
import type { LogFs } from './log-fs.ts';
import { type Segment, type SegmentPosition, packName, segmentsOf } from './segments.ts';

const PACK_NAME = /^segment-([0-9]{20})\.blobs$/;

/** What was found of an earlier run in a log directory. */
export interface Recovered {
  /** Index that the next record gets. */
  readonly nextIndex: number;
  /** Where to go on; `undefined` in an empty directory. */
  readonly position: SegmentPosition | undefined;
  /** Bytes of a torn tail that were cut off. */
  readonly droppedBytes: number;
  /** How the earlier run ended. */
  readonly previousRun: 'none' | 'clean' | 'unclean';
}

/** The fields of a record that recovery looks at. */
interface LastRecord {
  readonly log: string;
  readonly index: number;
  readonly kind: string;
}

/**
 * Finds where an earlier run stopped and cuts off what it did not finish: a last line without line feed, or one that is no
 * record. Only the ends of files are read. Throws where the directory holds the log of another origin, damage that no interrupted write
 * explains, or fewer records than a checkpoint was signed over: going on would be a second history.
 */
export function recover(dir: string, log: string, fs: LogFs): Recovered {
  const names = fs.names(dir);
  const [before, segment] = [undefined, ...segmentsOf(dir, names)].slice(-2);
  const end = segment && endOf(segment, before, log, fs);
  const nextIndex = end?.nextIndex ?? 0;
  const signed = names.includes('checkpoint') ? signedSize(join(dir, 'checkpoint'), fs) : 0;
  if (signed > nextIndex)
    throw new Error(
      `${dir} holds ${nextIndex} records where its checkpoint was signed over ${signed}: some were removed. Keep the folder as evidence (\`pdp audit verify\` says what is missing) and configure another one`,
    );
  // Nothing is cut or removed before it is clear that the log goes on: until then it may be evidence.
  removeLonePacks(dir, names, segment?.firstIndex ?? -1, fs);
  if (segment === undefined || end === undefined)
    return { nextIndex, position: undefined, droppedBytes: 0, previousRun: 'none' };
  return recoverSegment(dir, segment, end, fs);
}

/** Where the records of the last segment end. */
interface SegmentEnd {
  readonly size: number;
  /** Byte after the last whole record. */
  readonly end: number;
  readonly last: LastRecord | undefined;
  readonly nextIndex: number;
}

function endOf(
  { path, firstIndex, compressed }: Segment,
  before: Segment | undefined,
  log: string,
  fs: LogFs,
): SegmentEnd {
  if (compressed) throw new Error(`${path} is the last segment and compressed: the one after it was removed`);
  const size = fs.size(path);
  const { end, record: last } = lastRecord(path, size, fs);
  if (last !== undefined && last.log !== log) {
    throw new Error(
      `${path} belongs to the log '${last.log}', not to '${log}': give each log its own directory`,
    );
  }
  if (last !== undefined && last.index < firstIndex) {
    throw new Error(
      `${path} ends with index ${last.index}, which is below its first: run the audit verification`,
    );
  }
  if (size - end > MAX_TORN) {
    throw new Error(`${path} ends in ${size - end} bytes that are no records, too many for a torn write`);
  }
  if (last === undefined) assertFollows(path, firstIndex, before, fs);
  return { size, end, last, nextIndex: last === undefined ? firstIndex : last.index + 1 };
}

/** A segment without a record says only by its name where the log goes on: the one before it must say the same. */
function assertFollows(path: string, firstIndex: number, before: Segment | undefined, fs: LogFs): void {
  const due = dueAfter(before, fs) ?? firstIndex;
  if (Number.isSafeInteger(firstIndex) && firstIndex === due) return;
  throw new Error(
    `${path} has no record and begins at ${firstIndex}, where the record ${due} is due: records are missing, or it is not of this log (\`pdp audit verify\`)`,
  );
}

/** Index after the last record of a segment; `undefined`: it cannot be told. What is compressed was sealed to its end. */
function dueAfter(segment: Segment | undefined, fs: LogFs): number | undefined {
  if (segment === undefined || segment.compressed) return undefined;
  const { record } = lastRecord(segment.path, fs.size(segment.path), fs);
  return record === undefined ? segment.firstIndex : record.index + 1;
}

function recoverSegment(
  dir: string,
  { path, firstIndex }: Segment,
  { size, end, last, nextIndex }: SegmentEnd,
  fs: LogFs,
): Recovered {
  if (end < size) fs.truncatePath(path, end);
  return {
    nextIndex,
    position: {
      firstIndex,
      lines: { size: end, torn: false },
      pack: { size: recoverPack(join(dir, packName(firstIndex)), fs), torn: false },
    },
    droppedBytes: size - end,
    previousRun: last?.kind === 'shutdown' ? 'clean' : 'unclean',
  };
}

/** A pack that was begun for lines that never came. */
function removeLonePacks(dir: string, names: readonly string[], lastIndex: number, fs: LogFs): void {
  for (const name of names) {
    const digits = PACK_NAME.exec(name)?.[1];
    if (digits !== undefined && Number(digits) > lastIndex) fs.remove(join(dir, name));
  }
}

/** Cuts half a blob off a pack's end; no line refers to it. Returns the pack's size. */
function recoverPack(path: string, fs: LogFs): number {
  if (!fs.exists(path)) return 0;
  const size = fs.size(path);
  let end = size;
  while (end > 0) {
    const start = Math.max(0, end - WINDOW);
    const feed = fs.read(path, start, end - start).lastIndexOf(LINE_FEED);
    end = feed === -1 ? start : start + feed + 1;
    if (feed !== -1) break;
  }
  if (end < size) fs.truncatePath(path, end);
  return end;
}

/** C2SP tlog-checkpoint: the size of the tree is the second line. */
function signedSize(path: string, fs: LogFs): number {
  const size = Number(fs.read(path, 0, 4096).toString('utf8').split('\n')[1]);
  if (Number.isSafeInteger(size) && size >= 0) return size;
  throw new Error(
    `${path} is no checkpoint: restore it, or keep the folder as evidence and configure another one`,
  );
}

/** More bytes than one batch can have: what is damaged beyond this is evidence, and not ours to cut. */
const MAX_TORN = 64 * 1024 * 1024;
const WINDOW = 256 * 1024;
const LINE_FEED = 0x0a;

/** The last whole record of a file and where it ends. Reads backwards, so that the size of the file does not matter. */
function lastRecord(
  path: string,
  size: number,
  fs: LogFs,
): { readonly end: number; readonly record?: LastRecord } {
  let end = size;
  while (end > 0) {
    const start = Math.max(0, end - WINDOW);
    const bytes = fs.read(path, start, end - start);
    const feed = bytes.lastIndexOf(LINE_FEED);
    if (feed === -1) {
      end = start;
      continue;
    }
    const lineStart = feed === 0 ? 0 : bytes.lastIndexOf(LINE_FEED, feed - 1) + 1;
    const record = parseRecord(bytes.toString('utf8', lineStart, feed));
    if (record !== undefined) return { end: start + feed + 1, record };
    end = start + lineStart;
  }
  return { end: 0 };
}

function parseRecord(line: string): LastRecord | undefined {
  try {
    const { log, index, kind }: { log?: unknown; index?: unknown; kind?: unknown } = JSON.parse(line);
    if (typeof log !== 'string' || typeof kind !== 'string' || !Number.isSafeInteger(index)) return undefined;
    return { log, kind, index: Number(index) };
  } catch {
    return undefined;
  }
}
