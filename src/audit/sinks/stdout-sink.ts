import { closeSync, constants, fstatSync, openSync, writeSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { DeliveryError, type LogLine, type Sink } from './sink.ts';

const STDOUT = 1;
const MOST_WAIT_MS = 100;

/** The file operations of the sink, so that tests can let the reader be slow. */
export interface StdoutFs {
  /** Opens the standard output. */
  open(): number;
  /** Writes; gives how many bytes were taken. */
  write(fd: number, bytes: Buffer, offset: number): number;
  close(fd: number): void;
}

const NODE_STDOUT: StdoutFs = {
  open: openStdout,
  write: (fd, bytes, offset) => writeSync(fd, bytes, offset),
  close: (fd) => {
    if (fd !== STDOUT) closeSync(fd);
  },
};

/** Writes the lines themselves to the standard output. Delivered: the kernel has them. */
export function createStdoutSink(fs: StdoutFs = NODE_STDOUT): Sink {
  return new StdoutSink(fs);
}

/**
 * A pipe whose reader stops would block the thread, and with it every other sink: it is opened anew, without waiting. A regular file never
 * blocks, and must keep its position; a socket cannot be opened anew.
 */
function openStdout(): number {
  const stat = fstatSync(STDOUT);
  if (!stat.isFIFO() && !stat.isCharacterDevice()) return STDOUT;
  try {
    return openSync(
      `/proc/self/fd/${STDOUT}`,
      constants.O_WRONLY | constants.O_NONBLOCK | constants.O_NOCTTY,
    );
  } catch {
    return STDOUT;
  }
}

class StdoutSink implements Sink {
  readonly #fs: StdoutFs;
  #fd: number | undefined;
  /** What of the lines from `first` on is written already, in bytes: a delivery that is tried again goes on there. */
  #begun = { first: -1, bytes: 0 };

  constructor(fs: StdoutFs) {
    this.#fs = fs;
  }

  async deliver(lines: readonly LogLine[], signal: AbortSignal): Promise<void> {
    const [first] = lines;
    if (first === undefined) return;
    const bytes = Buffer.concat(lines.flatMap((line) => [line.bytes, NEW_LINE]));
    if (this.#begun.first !== first.index) this.#begun = { first: first.index, bytes: 0 };
    this.#fd ??= this.#fs.open();
    let wait = 1;
    while (this.#begun.bytes < bytes.length) {
      if (signal.aborted) throw new DeliveryError('unavailable', 'standard output is not read');
      const written = this.#write(this.#fd, bytes);
      if (written > 0) wait = 1;
      else await delay((wait = Math.min(MOST_WAIT_MS, wait * 2)));
    }
    this.#begun = { first: -1, bytes: 0 };
  }

  #write(fd: number, bytes: Buffer): number {
    try {
      const written = this.#fs.write(fd, bytes, this.#begun.bytes);
      this.#begun.bytes += written;
      return written;
    } catch (error) {
      if (error instanceof Error && 'code' in error && error.code === 'EAGAIN') return 0;
      throw new DeliveryError('unavailable', 'standard output cannot be written', { cause: error });
    }
  }

  close(): Promise<void> {
    const fd = this.#fd;
    this.#fd = undefined;
    if (fd !== undefined) this.#fs.close(fd);
    return Promise.resolve();
  }
}

const NEW_LINE = Buffer.from('\n');
