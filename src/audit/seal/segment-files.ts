import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { join } from 'node:path';
import { packName, segmentName } from '../log/segments.ts';
import { type SealFs, errorCode } from './seal-fs.ts';
import { SealRefused } from './seal-refused.ts';

/**
 * A segment that is followed, and its pack. Both stay open while they are: a failed write-back to the medium is only reported to descriptors
 * that were open when it failed.
 */
export class SegmentFiles {
  readonly firstIndex: number;
  readonly path: string;
  readonly #fs: SealFs;
  readonly #packPath: string;
  readonly #lines: number;
  #pack: number | undefined;

  /** Throws {@link SealRefused} where the segment is not there. */
  constructor(dir: string, firstIndex: number, fs: SealFs) {
    this.firstIndex = firstIndex;
    this.path = join(dir, segmentName(firstIndex));
    this.#packPath = join(dir, packName(firstIndex));
    this.#fs = fs;
    const lines = openIfThere(this.path);
    if (lines === undefined) throw new SealRefused(`${this.path}, which is not sealed yet, is not there`);
    this.#lines = lines;
  }

  /** Bytes of its lines now. */
  get size(): number {
    return fstatSync(this.#lines).size;
  }

  /** Some bytes of its lines; fewer at the end. */
  read(position: number, length: number): Buffer {
    const bytes = Buffer.allocUnsafe(length);
    return bytes.subarray(0, readSync(this.#lines, bytes, 0, length, position));
  }

  /** Brings both files to the medium, the pack first. Throws the system's error. */
  sync(): void {
    this.#pack ??= openIfThere(this.#packPath);
    if (this.#pack !== undefined) this.#fs.sync(this.#pack);
    this.#fs.sync(this.#lines);
  }

  close(): void {
    closeSync(this.#lines);
    if (this.#pack !== undefined) closeSync(this.#pack);
  }
}

function openIfThere(path: string): number | undefined {
  try {
    return openSync(path, 'r');
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return undefined;
    throw error;
  }
}
