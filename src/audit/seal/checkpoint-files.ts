import {
  appendFileSync,
  closeSync,
  fsyncSync,
  openSync,
  readFileSync,
  readSync,
  fstatSync,
  ftruncateSync,
} from 'node:fs';
import { join } from 'node:path';
import { type SealFs, errorCode, withFile, writeDurably } from './seal-fs.ts';

/** Pause between checkpoints that are kept, in ms. */
const KEEP_EVERY_MS = 60_000;
/** More than two checkpoints can have. */
const TAIL = 64 * 1024;

/** Em dash and space, how signature lines begin, as one character for each byte. */
const SIGNATURE = Buffer.from('— ').toString('latin1');
/** A note, of which the blank line that follows it shows that it is whole. */
const NOTE = new RegExp(`(?:[^\\n]+\\n)+\\n(?:${SIGNATURE}[^\\n]+\\n)+(?=\\n)`, 'g');

/** The notes in the bytes of `checkpoints.log`, oldest first. What a crash left of a last one is left out. */
export function keptCheckpoints(bytes: Buffer): string[] {
  return [...bytes.toString('latin1').matchAll(NOTE)].map(([note]) =>
    Buffer.from(note, 'latin1').toString('utf8'),
  );
}

/** The checkpoint of a log, and those that are kept for later checks of consistency. */
export class CheckpointFiles {
  readonly #path: string;
  readonly #keptPath: string;
  readonly #fs: SealFs;
  #keptAt = Number.NEGATIVE_INFINITY;
  #kept: string | undefined;

  constructor(dir: string, fs: SealFs) {
    this.#path = join(dir, 'checkpoint');
    this.#keptPath = join(dir, 'checkpoints.log');
    this.#fs = fs;
  }

  /** The newest checkpoint; `undefined`: none was ever published, or it was removed. */
  current(): string | undefined {
    return readIfThere(this.#path);
  }

  /** The newest of those kept. */
  lastKept(): string | undefined {
    const tail = readTail(this.#keptPath);
    this.#kept = tail && keptCheckpoints(tail).at(-1);
    return this.#kept;
  }

  /** Replaces the checkpoint. Throws the system's error. */
  publish(note: string): void {
    writeDurably(this.#fs, [{ path: this.#path, bytes: Buffer.from(note), mode: 0o644 }]);
  }

  /** Keeps a checkpoint where none was kept for a minute. Throws the system's error. */
  keepNowAndThen(note: string, now: number): void {
    if (Math.abs(now - this.#keptAt) < KEEP_EVERY_MS) return;
    this.keep(note);
    this.#keptAt = now;
  }

  /** Keeps a checkpoint, unless it is the last one kept already. */
  keep(note: string): void {
    if (note === this.#kept) return;
    const fd = openSync(this.#keptPath, 'a+', 0o600);
    try {
      cutTornNote(fd);
      appendFileSync(fd, `${note}\n`);
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
    this.#kept = note;
  }
}

/** Cuts off what a crash left of a last note. */
function cutTornNote(fd: number): void {
  const { size } = fstatSync(fd);
  const tail = tailOf(fd, size);
  const last = [...tail.toString('latin1').matchAll(NOTE)].at(-1);
  const end = last === undefined ? 0 : last.index + last[0].length + 1;
  if (end < tail.length) ftruncateSync(fd, size - tail.length + end);
}

function readTail(path: string): Buffer | undefined {
  try {
    return withFile(openSync(path, 'r'), (fd) => tailOf(fd, fstatSync(fd).size));
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return undefined;
    throw error;
  }
}

function tailOf(fd: number, size: number): Buffer {
  const bytes = Buffer.alloc(Math.min(TAIL, size));
  return bytes.subarray(0, readSync(fd, bytes, 0, bytes.length, size - bytes.length));
}

function readIfThere(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return undefined;
    throw error;
  }
}
