import { closeSync, fsyncSync, mkdirSync, openSync, readFileSync, renameSync, writeSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { parseRecord } from '../read/decision-record.ts';

/** How far a sink has delivered, on disk, so that the next run goes on from there. */
export class CursorFile {
  readonly #path: string;

  constructor(logDir: string, sink: string) {
    this.#path = join(logDir, 'cursors', `${sink}.json`);
  }

  /** Index of the next record to deliver; `undefined`: never written; `'unreadable'`: it makes no sense. Throws the system's error. */
  read(): number | 'unreadable' | undefined {
    let text: string;
    try {
      text = readFileSync(this.#path, 'utf8');
    } catch (error) {
      if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
      throw error;
    }
    const index = parseRecord(text)?.['index'];
    return typeof index === 'number' && Number.isSafeInteger(index) && index >= 0 ? index : 'unreadable';
  }

  /** Replaces it, whole or not at all, and brings it to the medium. Throws the system's error. */
  write(index: number): void {
    const dir = dirname(this.#path);
    mkdirSync(dir, { recursive: true, mode: 0o700 });
    const draft = `${this.#path}.draft`;
    withFile(draft, 'w', (fd) => {
      writeSync(fd, `${JSON.stringify({ index })}\n`);
      fsyncSync(fd);
    });
    renameSync(draft, this.#path);
    withFile(dir, 'r', fsyncSync);
  }
}

function withFile(path: string, flags: string, use: (fd: number) => void): void {
  const fd = openSync(path, flags, 0o600);
  try {
    use(fd);
  } finally {
    closeSync(fd);
  }
}
