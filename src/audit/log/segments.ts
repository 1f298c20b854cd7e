import { join } from 'node:path';
import { AppendFile, ChangedFileError, type FilePosition } from './append-file.ts';
import type { LogFs } from './log-fs.ts';

const SEGMENT_NAME = /^segment-([0-9]{20})\.ndjson(\.gz)?$/;

/** A segment of a log directory. */
export interface Segment {
  readonly name: string;
  readonly path: string;
  readonly firstIndex: number;
  /** Whether it was compressed (gzip). */
  readonly compressed: boolean;
}

/** File name of the segment whose first record has this index. */
export function segmentName(firstIndex: number): string {
  return `segment-${String(firstIndex).padStart(20, '0')}.ndjson`;
}

/** File name of the pack of a segment: what its lines refer to by digest. */
export function packName(firstIndex: number): string {
  return `segment-${String(firstIndex).padStart(20, '0')}.blobs`;
}

/** The segments among the names in a directory, oldest first. One that is there in both forms counts as it was written. */
export function segmentsOf(dir: string, names: readonly string[]): Segment[] {
  const segments = new Map<number, Segment>();
  // The uncompressed name sorts, and so counts, first.
  for (const name of names.toSorted()) {
    const [, digits, gz] = SEGMENT_NAME.exec(name) ?? [];
    if (digits === undefined || segments.has(Number(digits))) continue;
    const firstIndex = Number(digits);
    segments.set(firstIndex, { name, path: join(dir, name), firstIndex, compressed: gz !== undefined });
  }
  return [...segments.values()].sort((a, b) => a.firstIndex - b.firstIndex);
}

/** What {@link OpenSegment} needs. */
export interface OpenSegmentOptions {
  readonly dir: string;
  readonly fs: LogFs;
  /** A segment that reached this size, its pack included, is closed and a new one begun. */
  readonly segmentBytes: number;
  /** Age in ms at which it is closed too. */
  readonly segmentMs: number;
  /** Whether a new file's name must reach the medium too. */
  readonly syncDir: boolean;
  /** Makes sure that the directory is ours before a file in it is opened; throws where somebody else took it. */
  readonly holdDir: () => void;
}

/** How far the segment in use, and its pack, are good. */
export interface SegmentPosition {
  readonly firstIndex: number;
  readonly lines: FilePosition;
  readonly pack: FilePosition;
}

interface Files {
  readonly firstIndex: number;
  /** Unix ms from which its age counts. */
  readonly since: number;
  readonly lines: AppendFile;
  readonly pack: AppendFile;
}

/** The segment that is appended to, with its pack. */
export class OpenSegment {
  readonly #options: OpenSegmentOptions;
  /** `undefined`: the next batch begins one. */
  #files: Files | undefined;
  /** A pack that was just appended to and waits for the same fate as its lines. */
  #packed = false;
  /** Whether the last pack failed. Lines alone would then say that the log can be written, and the next batch that it cannot. */
  #packFailed = false;

  constructor(options: OpenSegmentOptions, position: SegmentPosition | undefined, now: number) {
    this.#options = options;
    if (position) this.#files = this.#at(position.firstIndex, now, position);
  }

  /** Index of its first record; `undefined`: the next batch begins a segment. */
  get firstIndex(): number | undefined {
    return this.#files?.firstIndex;
  }

  /** Bytes of whole batches, of lines and of the pack. */
  get sizes(): { readonly lines: number; readonly pack: number } {
    return { lines: this.#files?.lines.size ?? 0, pack: this.#files?.pack.size ?? 0 };
  }

  /** Closes a segment that is full or old; true where the next batch begins a new one. */
  retireIfDue(now: number): boolean {
    const files = this.#files;
    if (!files) return true;
    const { segmentBytes, segmentMs } = this.#options;
    const size = files.lines.size + files.pack.size;
    const due = files.lines.size > 0 && (size >= segmentBytes || now - files.since >= segmentMs);
    if (due) this.retire();
    return due;
  }

  /** Closes the segment: the next batch begins a new one. What it holds goes to the medium in the background. */
  retire(): void {
    this.#files?.pack.retire();
    this.#files?.lines.retire();
    this.#files = undefined;
  }

  /**
   * Appends what a batch refers to, before its lines, so that no line ever refers to nothing; `index` is that of its first record. Throws the
   * system's error; none of it is then in the file.
   */
  appendPack(bytes: Buffer, index: number, now: number): void {
    this.#append('pack', bytes, index, now);
    this.#packed = true;
  }

  /** Appends the lines of a batch whose first record has the index `index`. Throws the system's error; no line of it is then in the file. */
  appendLines(bytes: Buffer, index: number, now: number): void {
    this.#append('lines', bytes, index, now);
  }

  #append(file: 'pack' | 'lines', bytes: Buffer, index: number, now: number): void {
    const files = (this.#files ??= this.#at(index, now));
    try {
      if (this.#packFailed) files.pack.open();
      this.#packFailed = false;
      files[file].append(bytes);
    } catch (error) {
      this.#packFailed ||= file === 'pack';
      if (error instanceof ChangedFileError) this.#files = undefined;
      throw error;
    }
  }

  /** Takes the last appended lines back: they did not reach the medium. What they referred to may stay. */
  rollBack(): void {
    this.#files?.lines.rollBack();
    this.#files?.pack.close();
  }

  /** Brings everything appended to this segment to the medium, the pack first. */
  async sync(): Promise<void> {
    if (this.#packed) await this.#files?.pack.sync();
    this.#packed = false;
    await this.#files?.lines.sync();
  }

  /** Closes the files; the next batch opens them again. */
  close(): void {
    this.#files?.pack.close();
    this.#files?.lines.close();
  }

  #at(firstIndex: number, since: number, position?: SegmentPosition): Files {
    const { dir, fs } = this.#options;
    const prepare = () => this.#prepare();
    const file = (name: string, at?: FilePosition) =>
      new AppendFile({ path: join(dir, name), fs, prepare, opened: () => this.#opened() }, at);
    return {
      firstIndex,
      since,
      lines: file(segmentName(firstIndex), position?.lines),
      pack: file(packName(firstIndex), position?.pack),
    };
  }

  #prepare(): void {
    const { dir, fs, holdDir } = this.#options;
    fs.makeDir(dir);
    holdDir();
  }

  #opened(): void {
    const { dir, fs, syncDir } = this.#options;
    if (syncDir) fs.syncDir(dir);
  }
}
