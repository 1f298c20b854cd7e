import { createReadStream } from 'node:fs';
import { pipeline } from 'node:stream/promises';
import { PassThrough, type Readable } from 'node:stream';
import { createGunzip } from 'node:zlib';

/** Some lines of a file, in order, as the bytes they are: what is hashed must not go through a decoder. */
export interface Lines {
  /** Without line feeds. */
  readonly lines: readonly Buffer[];
  /** Whether the last of them lacks its line feed: the file ends in half a line. */
  readonly torn: boolean;
}

/** What is read. */
export interface LineSource {
  readonly path: string;
  /** Whether it is gzip. */
  readonly compressed?: boolean;
  /** Reads no further than so many bytes (of what is compressed: once it is not). */
  readonly end?: number;
}

const MAX_PENDING = 16 * 1024 * 1024;
const CHUNK = 1024 * 1024;
const LINE_FEED = 0x0a;

/**
 * Reads a file's lines, a chunk at a time. Only a line feed ends a line: `node:readline` would also split at U+2028, which
 * JSON strings may hold. Throws a `RangeError` for a line of more than 16 MiB, and the system's error for what cannot be read.
 */
export async function* readLines(source: LineSource): AsyncGenerator<Lines> {
  let pending: Buffer = Buffer.alloc(0);
  for await (const chunk of chunks(source)) {
    const bytes: Buffer = pending.length === 0 ? chunk : Buffer.concat([pending, chunk]);
    const end = bytes.lastIndexOf(LINE_FEED);
    pending = bytes.subarray(end + 1);
    if (pending.length > MAX_PENDING)
      throw new RangeError(`${source.path} has a line of more than ${MAX_PENDING} bytes`);
    if (end !== -1) yield { lines: split(bytes.subarray(0, end)), torn: false };
  }
  if (pending.length > 0) yield { lines: [pending], torn: true };
}

async function* chunks({ path, compressed = false, end }: LineSource): AsyncGenerator<Buffer> {
  if (end === 0) return;
  let left = end ?? Number.POSITIVE_INFINITY;
  for await (const chunk of compressed ? gunzipped(path) : createReadStream(path, { highWaterMark: CHUNK })) {
    const bytes = (chunk as Buffer).subarray(0, left);
    yield bytes;
    left -= bytes.length;
    if (left <= 0) return;
  }
}

function gunzipped(path: string): Readable {
  const out = new PassThrough({ highWaterMark: CHUNK });
  pipeline(createReadStream(path, { highWaterMark: CHUNK }), createGunzip({ chunkSize: CHUNK }), out).catch(
    (error: unknown) => out.destroy(error instanceof Error ? error : new Error(String(error))),
  );
  return out;
}

function split(bytes: Buffer): Buffer[] {
  const lines: Buffer[] = [];
  let start = 0;
  for (let end = bytes.indexOf(LINE_FEED); end !== -1; end = bytes.indexOf(LINE_FEED, start)) {
    lines.push(bytes.subarray(start, end));
    start = end + 1;
  }
  lines.push(bytes.subarray(start));
  return lines;
}
