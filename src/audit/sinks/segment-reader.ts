import { type FileHandle, open } from 'node:fs/promises';
import { readLines } from '../read/line-reader.ts';

/** Reads the lines of one segment in order, some at a time. */
export interface SegmentReader {
  /**
   * The next lines, without line feeds; none: there are no more before `end` (bytes; absent: the end of the file). Throws the system's error,
   * and a `RangeError` for what is no line of ours.
   */
  next(end?: number): Promise<readonly Buffer[]>;
  close(): Promise<void>;
}

const CHUNK = 256 * 1024;
const LINE_FEED = 0x0a;

/** Opens a segment. It can be read to its end even where it is removed, or replaced by its compressed form, meanwhile. */
export async function openSegmentReader(path: string, compressed: boolean): Promise<SegmentReader> {
  return compressed ? compressedReader(path) : new PlainReader(path, await open(path, 'r'));
}

class PlainReader implements SegmentReader {
  readonly #path: string;
  readonly #file: FileHandle;
  #offset = 0;

  constructor(path: string, file: FileHandle) {
    this.#path = path;
    this.#file = file;
  }

  async next(end?: number): Promise<readonly Buffer[]> {
    const until = end ?? (await this.#file.stat()).size;
    const length = Math.min(CHUNK, until - this.#offset);
    if (length <= 0) return [];
    const { buffer, bytesRead } = await this.#file.read(Buffer.allocUnsafe(length), 0, length, this.#offset);
    const last = buffer.subarray(0, bytesRead).lastIndexOf(LINE_FEED);
    if (last === -1 && bytesRead === CHUNK)
      throw new RangeError(`${this.#path} has a line of more than ${CHUNK} bytes`);
    this.#offset += last + 1;
    return linesOf(buffer.subarray(0, last + 1));
  }

  async close(): Promise<void> {
    await this.#file.close();
  }
}

function linesOf(bytes: Buffer): readonly Buffer[] {
  const lines: Buffer[] = [];
  let start = 0;
  for (let end = bytes.indexOf(LINE_FEED); end !== -1; end = bytes.indexOf(LINE_FEED, start)) {
    lines.push(bytes.subarray(start, end));
    start = end + 1;
  }
  return lines;
}

function compressedReader(path: string): SegmentReader {
  const chunks = readLines({ path, compressed: true });
  return {
    async next() {
      const chunk = await chunks.next();
      return chunk.done === true || chunk.value.torn ? [] : chunk.value.lines;
    },
    close: async () => void (await chunks.return(undefined)),
  };
}
