import { type FileHandle, open } from 'node:fs/promises';
import { type LogSegment, logSegments } from '../read/log-folder.ts';
import { isAbsence, linesOf } from '../read/segment-source.ts';

/** Where a reader stands: everything before was read. */
export interface TailPosition {
  /** First index of the segment. */
  readonly segment: number;
  /** Lines of it that were read. */
  readonly lines: number;
  /** Bytes of it, when it is not compressed. */
  readonly bytes: number;
}

/** What {@link Follower} needs. */
export interface FollowerOptions {
  readonly dir: string;
  readonly position: TailPosition;
  /** Told of what is missing or was taken back, in words. */
  readonly onProblem: (words: string) => void;
}

const CHUNK = 1024 * 1024;
const MAX_LINE = 16 * 1024 * 1024;
const LINE_FEED = 0x0a;
const BRACE = 0x7b;
const NEW_LINE = Buffer.from('\n');
/** A line's index is within its first fields. */
const HEAD = 600;

/**
 * Reads a log that another process writes, from segment to segment. Holds on to the file that it reads: what is compressed or removed meanwhile is
 * still read to its end.
 */
export class Follower {
  readonly #options: FollowerOptions;
  #position: TailPosition;
  /** Index of the first record that was not given out. */
  #next: number;
  #file: FileHandle | undefined;
  /** A compressed segment never grows: it is read once. */
  #finished = -1;
  #reread = false;

  constructor(options: FollowerOptions) {
    this.#options = options;
    this.#position = options.position;
    this.#next = options.position.segment + options.position.lines;
  }

  /** Lets the file go. */
  async close(): Promise<void> {
    const file = this.#file;
    this.#file = undefined;
    await file?.close();
  }

  /** The whole lines that are there by now and were not given out. Throws the system's error. */
  async *next(): AsyncGenerator<Buffer> {
    // Listed before it is read: the segment before a later one is whole by then.
    const segments = logSegments(this.#options.dir);
    const { segment: first } = this.#position;
    const present = segments.find(({ firstIndex }) => firstIndex === first);
    if (this.#file === undefined && present?.compressed === false) {
      await this.#open(present);
      // Compressed since it was listed: the next look finds it so.
      if (this.#file === undefined) return;
    }
    if (this.#file) yield* this.#plain(this.#file);
    else if (present && this.#finished !== first) yield* this.#compressed(present);
    const later = segments.find(({ firstIndex }) => firstIndex > first);
    if (later) await this.#moveTo(later.firstIndex);
  }

  async #open({ path }: LogSegment): Promise<void> {
    try {
      this.#file = await open(path, 'r');
    } catch (error) {
      if (!isAbsence(error)) throw error;
    }
  }

  async *#plain(file: FileHandle): AsyncGenerator<Buffer> {
    await this.#seeWhetherCut(file);
    for (let room = CHUNK; ;) {
      const bytes = Buffer.allocUnsafe(room);
      const { bytesRead } = await file.read(bytes, 0, room, this.#position.bytes);
      const whole = bytes.subarray(0, bytes.subarray(0, bytesRead).lastIndexOf(LINE_FEED) + 1);
      if (whole.length > 0 && this.#mustReread(whole)) continue;
      if (whole.length > 0) yield* this.#lines(whole);
      else if (bytesRead === room && room < MAX_LINE) room *= 2;
      else return;
    }
  }

  /** Gives out the lines that were not, and stands behind all of them. */
  *#lines(bytes: Buffer): Generator<Buffer> {
    let start = 0;
    for (let end = bytes.indexOf(LINE_FEED); end !== -1; end = bytes.indexOf(LINE_FEED, start)) {
      const line = bytes.subarray(start, end);
      start = end + 1;
      const { segment, lines, bytes: before } = this.#position;
      const index = segment + lines;
      this.#position = { segment, lines: lines + 1, bytes: before + line.length + 1 };
      if (index < this.#next) continue;
      this.#next = index + 1;
      yield line;
    }
  }

  /** The writer takes back what it could not write to the end. */
  async #seeWhetherCut(file: FileHandle): Promise<void> {
    const { size } = await file.stat();
    if (size >= this.#position.bytes) return;
    const { segment } = this.#position;
    this.#position = { segment, lines: await linesIn(file, size), bytes: size };
    const before = this.#next;
    this.#next = segment + this.#position.lines;
    this.#options.onProblem(`the last ${before - this.#next} records were taken back: writing them failed`);
  }

  /** Where lines were taken back and others written in their place between two looks, ours is no longer the beginning of a line. */
  #mustReread(bytes: Buffer): boolean {
    const { segment, lines } = this.#position;
    const head = bytes.subarray(0, Math.min(HEAD, bytes.indexOf(LINE_FEED)));
    const follows = head[0] === BRACE && head.includes(`"index":${segment + lines},`);
    if (this.#reread || follows) return false;
    this.#reread = true;
    this.#position = { segment, lines: 0, bytes: 0 };
    this.#options.onProblem(
      'records were taken back and others written in their place: look at the last ones again',
    );
    return true;
  }

  async *#compressed(segment: LogSegment): AsyncGenerator<Buffer> {
    this.#position = { segment: segment.firstIndex, lines: 0, bytes: 0 };
    try {
      for await (const { lines, torn } of linesOf(segment))
        for (const line of torn ? [] : lines) yield* this.#lines(Buffer.concat([line, NEW_LINE]));
    } catch (error) {
      // Removed since it was listed: with the next segment it is told what is missing.
      if (!isAbsence(error)) throw error;
    }
    this.#finished = segment.firstIndex;
  }

  async #moveTo(segment: number): Promise<void> {
    await this.close();
    if (segment > this.#next)
      this.#options.onProblem(`${segment - this.#next} records are missing before the record ${segment}`);
    this.#next = Math.max(this.#next, segment);
    this.#position = { segment, lines: 0, bytes: 0 };
  }
}

async function linesIn(file: FileHandle, size: number): Promise<number> {
  let [lines, at] = [0, 0];
  const bytes = Buffer.allocUnsafe(CHUNK);
  while (at < size) {
    const { bytesRead } = await file.read(bytes, 0, Math.min(CHUNK, size - at), at);
    if (bytesRead === 0) break;
    for (const byte of bytes.subarray(0, bytesRead)) if (byte === LINE_FEED) lines += 1;
    at += bytesRead;
  }
  return lines;
}
