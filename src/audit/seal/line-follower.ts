import { readdirSync } from 'node:fs';
import type { Committed } from '../log/commit-position.ts';
import { segmentsOf } from '../log/segments.ts';
import type { SealFs } from './seal-fs.ts';
import { SealRefused } from './seal-refused.ts';
import { SegmentFiles } from './segment-files.ts';

const CHUNK = 1024 * 1024;
const LINE_FEED = 0x0a;
/** A line's index is within its first fields. */
const HEAD = 600;

/** What {@link LineFollower} needs. */
export interface LineFollowerOptions {
  readonly dir: string;
  /** How far the files are final. */
  readonly committed: () => Committed;
  readonly fs: SealFs;
}

/**
 * Reads the final lines of a log in order, from segment to segment, and brings them to the medium. What does not follow on from what it has read is
 * a {@link SealRefused}.
 */
export class LineFollower {
  readonly #options: LineFollowerOptions;
  #files: SegmentFiles | undefined;
  #offset = 0;
  #next: number;
  #unsynced = false;
  #mediumFailed: unknown;

  /** Begins at the start of the segment that holds the record `index`, or will. */
  constructor(options: LineFollowerOptions, index: number) {
    this.#options = options;
    const segments = this.#segments();
    const first = segments.filter(({ firstIndex }) => firstIndex <= index).at(-1);
    if (first === undefined && segments.length > 0)
      throw new SealRefused(
        `the records before ${segments[0]?.firstIndex} are gone, and no checkpoint vouches for them`,
      );
    this.#next = first?.firstIndex ?? index;
    if (first !== undefined) this.#files = new SegmentFiles(options.dir, first.firstIndex, options.fs);
  }

  /** Index of the next line. */
  get next(): number {
    return this.#next;
  }

  /** The next lines, without line feeds, at most up to the record before `until`; none: all final ones were read. */
  read(until: number = Number.MAX_SAFE_INTEGER): readonly Buffer[] {
    // Before the names are read: what is final by then is there by then.
    const committed = this.#options.committed();
    const end = Math.min(until, committed.nextIndex);
    if (this.#next >= end) return [];
    const files = this.#filesFor(committed);
    const isOpen = files.firstIndex === committed.segment;
    const stop = isOpen ? end : Math.min(end, this.#segmentAfter(files) ?? end);
    const bytes = isOpen ? committed.lineBytes : files.size;
    return this.#take(files, bytes, stop);
  }

  /** Brings everything that was read to the medium, what it refers to first. Throws the system's error, ever after too. */
  sync(): void {
    // The kernel may call pages clean that it could not write: a second attempt that succeeds means nothing.
    if (this.#mediumFailed !== undefined) throw this.#mediumFailed;
    if (!this.#unsynced) return;
    try {
      this.#files?.sync();
      this.#options.fs.syncFolder(this.#options.dir);
    } catch (error) {
      this.#mediumFailed = error;
      throw error;
    }
    this.#unsynced = false;
  }

  /** Whether bytes of the log did not reach the medium: nothing more may be signed in this run. */
  get mediumFailed(): boolean {
    return this.#mediumFailed !== undefined;
  }

  close(): void {
    this.#files?.close();
    this.#files = undefined;
  }

  /** The files that hold the next line: those in use, or those of the segment after. */
  #filesFor(committed: Committed): SegmentFiles {
    const { dir, fs } = this.#options;
    const files = this.#files;
    if (files !== undefined) {
      if (files.firstIndex === committed.segment || this.#segmentAfter(files) !== this.#next) return files;
      this.sync();
      this.close();
    }
    this.#offset = 0;
    this.#files = new SegmentFiles(dir, this.#next, fs);
    return this.#files;
  }

  #segments() {
    return segmentsOf(this.#options.dir, readdirSync(this.#options.dir));
  }

  #segmentAfter(files: SegmentFiles): number | undefined {
    return this.#segments().find(({ firstIndex }) => firstIndex > files.firstIndex)?.firstIndex;
  }

  #take(files: SegmentFiles, bytes: number, stop: number): readonly Buffer[] {
    const chunk = files.read(this.#offset, Math.max(0, Math.min(CHUNK, bytes - this.#offset)));
    const lines: Buffer[] = [];
    let start = 0;
    while (this.#next + lines.length < stop) {
      const end = chunk.indexOf(LINE_FEED, start);
      if (end === -1) break;
      lines.push(this.#checked(chunk.subarray(start, end), this.#next + lines.length, files));
      start = end + 1;
    }
    if (lines.length === 0)
      throw new SealRefused(`${files.path} ends before the record ${this.#next}: records are missing`);
    this.#offset += start;
    this.#next += lines.length;
    this.#unsynced = true;
    return lines;
  }

  #checked(line: Buffer, index: number, { path }: SegmentFiles): Buffer {
    if (line.subarray(0, HEAD).includes(`"index":${index},`)) return line;
    throw new SealRefused(`${path} does not have the record ${index} where it should be`);
  }
}
