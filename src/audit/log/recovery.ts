import type { LogFs } from './log-fs.ts';
import { type SegmentPosition, segmentsOf } from './segments.ts';

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
 * record. Only the end of the last segment is read. Throws where the directory holds the log of another origin, or damage that
 * no interrupted write explains.
 */
export function recover(dir: string, log: string, fs: LogFs): Recovered {
  const segment = segmentsOf(dir, fs.names(dir)).at(-1);
  if (segment === undefined) {
    return { nextIndex: 0, position: undefined, droppedBytes: 0, previousRun: 'none' };
  }
  const size = fs.size(segment.path);
  const tail = lastRecord(segment.path, size, fs);
  const last = tail.record;
  if (last !== undefined && last.log !== log) {
    throw new Error(
      `${segment.path} belongs to the log '${last.log}', not to '${log}': give each log its own directory`,
    );
  }
  if (last !== undefined && last.index < segment.firstIndex) {
    throw new Error(
      `${segment.path} ends with index ${last.index}, which is below its first: run the audit verification`,
    );
  }
  if (size - tail.end > MAX_TORN) {
    throw new Error(
      `${segment.path} ends in ${size - tail.end} bytes that are no records, too many for a torn write`,
    );
  }
  if (tail.end < size) fs.truncatePath(segment.path, tail.end);
  return {
    nextIndex: last === undefined ? segment.firstIndex : last.index + 1,
    position: { firstIndex: segment.firstIndex, size: tail.end, torn: false },
    droppedBytes: size - tail.end,
    previousRun: last?.kind === 'shutdown' ? 'clean' : 'unclean',
  };
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
