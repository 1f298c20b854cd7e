import { join } from 'node:path';
import type { LogFs } from './log-fs.ts';

const SEGMENT_NAME = /^segment-([0-9]{20})\.ndjson$/;

/** File name of the segment whose first record has this index. */
function segmentName(firstIndex: number): string {
  return `segment-${String(firstIndex).padStart(20, '0')}.ndjson`;
}

/** A segment file of a log directory. */
export interface Segment {
  readonly name: string;
  readonly path: string;
  readonly firstIndex: number;
}

/** The segments among the names in a directory, oldest first. */
export function segmentsOf(dir: string, names: readonly string[]): Segment[] {
  const segments: Segment[] = [];
  for (const name of names) {
    const digits = SEGMENT_NAME.exec(name)?.[1];
    if (digits !== undefined) segments.push({ name, path: join(dir, name), firstIndex: Number(digits) });
  }
  return segments.sort((a, b) => a.firstIndex - b.firstIndex);
}

/** What a {@link SegmentFile} needs. */
export interface SegmentFileOptions {
  readonly dir: string;
  readonly fs: LogFs;
  /** A segment that reached this size is closed and a new one begun. */
  readonly segmentBytes: number;
  /** Whether a new file's name must reach the medium too. */
  readonly syncDir: boolean;
  /** Makes sure that the directory is ours before a file in it is opened; throws where somebody else took it. */
  readonly holdDir: () => void;
}

/** How far a segment is good. */
export interface SegmentPosition {
  readonly firstIndex: number;
  /** Bytes of whole batches: the only size at which the file is right. */
  readonly size: number;
  /** Whether what lies behind `size` is what remains of a failed batch of ours, and may be cut. */
  readonly torn: boolean;
}

/**
 * The segment that is appended to. A batch gets into the file whole or not at all: whatever fails, the file is cut back to
 * the last whole batch before anything else is written.
 */
export class SegmentFile {
  readonly #options: SegmentFileOptions;
  #fd: number | undefined;
  /** The segment in use; `undefined`: the next batch begins one. */
  #position: SegmentPosition | undefined;
  #sizeBefore = 0;

  constructor(options: SegmentFileOptions, position: SegmentPosition | undefined) {
    this.#options = options;
    this.#position = position;
  }

  /** Appends one batch whose first record has the index `index`. Throws the system's error; the batch is then not in the file. */
  append(bytes: Buffer, index: number): void {
    this.#retireFull();
    const position = this.#position ?? { firstIndex: index, size: 0, torn: false };
    const fd = this.#fd ?? this.#openAt(position);
    this.#assertUntouched(fd, position);
    try {
      this.#writeAll(fd, bytes);
    } catch (error) {
      this.#cutBack(fd, position);
      throw error;
    }
    this.#sizeBefore = position.size;
    this.#position = { firstIndex: position.firstIndex, size: position.size + bytes.length, torn: false };
  }

  /** Takes the last appended batch back: it did not reach the medium. */
  rollBack(): void {
    if (this.#fd === undefined || this.#position === undefined) return;
    this.#cutBack(this.#fd, { ...this.#position, size: this.#sizeBefore });
    // After a failed fdatasync the kernel may call the lost pages clean; only a fresh descriptor reports the next failure.
    this.close();
  }

  /** Brings everything appended to this segment to the medium. */
  async sync(): Promise<void> {
    if (this.#fd === undefined) return;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.#options.fs.sync(this.#fd, (error) => (error === null ? resolve() : reject(error)));
    await promise;
  }

  /** Closes the file; the next batch opens it again. */
  close(): void {
    if (this.#fd !== undefined) this.#closeQuietly(this.#fd);
    this.#fd = undefined;
  }

  #closeQuietly(fd: number): void {
    try {
      this.#options.fs.close(fd);
    } catch {
      // A descriptor that cannot be closed is closed already, and its bytes were checked when they were written.
    }
  }

  /** A full segment goes to the medium in the background; with `synced` its records are there already. */
  #retireFull(): void {
    if (this.#position === undefined || this.#position.size < this.#options.segmentBytes) return;
    const { fs } = this.#options;
    const fd = this.#fd;
    this.#fd = undefined;
    this.#position = undefined;
    if (fd !== undefined) fs.sync(fd, () => this.#closeQuietly(fd));
  }

  #openAt(position: SegmentPosition): number {
    const { dir, fs, holdDir, syncDir } = this.#options;
    fs.makeDir(dir);
    holdDir();
    const fd = fs.openAppend(join(dir, segmentName(position.firstIndex)));
    this.#fd = fd;
    return this.#orClose(() => {
      if (position.torn && fs.stat(fd).size > position.size) fs.truncate(fd, position.size);
      if (syncDir) fs.syncDir(dir);
      this.#position = { ...position, torn: false };
      return fd;
    });
  }

  #orClose<T>(use: () => T): T {
    try {
      return use();
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /**
   * Refuses a file that is not as we left it: removed, cut, or written by somebody else. One `fstat` for each batch (about a
   * microsecond) makes it impossible to go on logging into a file that nobody will ever see. What others wrote is left alone.
   */
  #assertUntouched(fd: number, position: SegmentPosition): void {
    const { size, links } = this.#orClose(() => this.#options.fs.stat(fd));
    if (links > 0 && size === position.size) return;
    this.close();
    this.#position = undefined;
    const found = links === 0 ? 'it was removed' : `it has ${size} bytes where ${position.size} were written`;
    throw new Error(`${segmentName(position.firstIndex)} was changed by somebody else: ${found}`);
  }

  #writeAll(fd: number, bytes: Buffer): void {
    for (let offset = 0; offset < bytes.length;) {
      const written = this.#options.fs.write(fd, bytes, offset);
      if (written === 0) throw new Error('the file took no bytes');
      offset += written;
    }
  }

  /** Where even cutting back fails the file is closed, and cut when it is opened again. */
  #cutBack(fd: number, position: SegmentPosition): void {
    try {
      this.#options.fs.truncate(fd, position.size);
      this.#position = { ...position, torn: false };
    } catch {
      this.close();
      this.#position = { ...position, torn: true };
    }
  }
}
