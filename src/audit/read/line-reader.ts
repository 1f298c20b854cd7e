import { createReadStream } from 'node:fs';

/** Some lines of a file, in order. */
export interface Lines {
  readonly lines: readonly string[];
  /** Whether the last of them lacks its line feed: the file ends in half a line. */
  readonly torn: boolean;
}

const MAX_PENDING = 16 * 1024 * 1024;
const LINE_FEED = 0x0a;

/**
 * Reads a file's lines, a chunk at a time. Only a line feed ends a line: `node:readline` would also split at U+2028, which
 * JSON strings may hold. Throws a `RangeError` for a line of more than 16 MiB.
 */
export async function* readLines(path: string): AsyncGenerator<Lines> {
  let pending: Buffer = Buffer.alloc(0);
  for await (const chunk of createReadStream(path, { highWaterMark: 1024 * 1024 })) {
    const bytes: Buffer = pending.length === 0 ? chunk : Buffer.concat([pending, chunk]);
    const end = bytes.lastIndexOf(LINE_FEED);
    pending = bytes.subarray(end + 1);
    if (pending.length > MAX_PENDING)
      throw new RangeError(`${path} has a line of more than ${MAX_PENDING} bytes`);
    if (end !== -1) yield { lines: bytes.toString('utf8', 0, end).split('\n'), torn: false };
  }
  if (pending.length > 0) yield { lines: [pending.toString('utf8')], torn: true };
}
