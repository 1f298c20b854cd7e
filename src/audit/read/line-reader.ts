import { type ReadStream, createReadStream, statSync } from 'node:fs';
import { pipeline } from 'node:stream/promises';
import { PassThrough, type Readable, Transform } from 'node:stream';
import { type Gunzip, createGunzip } from 'node:zlib';

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

const MAX_LINE = 16 * 1024 * 1024;
/** Of a pack: whole policy sets are lines there. The engine takes none that comes near to this. */
const MAX_PACK_LINE = 256 * 1024 * 1024;
const PACK = /\.blobs(?:\.gz)?$/;
const CHUNK = 1024 * 1024;
const LINE_FEED = 0x0a;

/**
 * Reads a file's lines, a chunk at a time. Only a line feed ends a line: `node:readline` would also split at U+2028, which
 * JSON strings may hold. Throws a `RangeError` for a line of more than 16 MiB (of a pack: 256 MiB), an `Error` for what follows the end of a gzip
 * file, and the system's error for what cannot be read.
 */
export async function* readLines(source: LineSource): AsyncGenerator<Lines> {
  const limit = PACK.test(source.path) ? MAX_PACK_LINE : MAX_LINE;
  let pending: Buffer[] = [];
  let size = 0;
  for await (const chunk of chunks(source)) {
    const end = chunk.lastIndexOf(LINE_FEED);
    if (end !== -1) {
      yield { lines: split(Buffer.concat([...pending, chunk.subarray(0, end)])), torn: false };
      [pending, size] = [[], 0];
    }
    const rest = chunk.subarray(end + 1);
    if (rest.length > 0) pending.push(rest);
    size += rest.length;
    if (size > limit) throw new RangeError(`${source.path} has a line of more than ${limit} bytes`);
  }
  if (size > 0) yield { lines: [Buffer.concat(pending)], torn: true };
}

async function* chunks({ path, compressed = false, end }: LineSource): AsyncGenerator<Buffer> {
  if (end === 0) return;
  // A pipe would never end.
  if (!statSync(path).isFile()) throw new Error(`${path} is no file`);
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
  const [file, gunzip] = [
    createReadStream(path, { highWaterMark: CHUNK }),
    createGunzip({ chunkSize: CHUNK }),
  ];
  pipeline(file, gunzip, assertAllUsed(file, gunzip, path), out).catch((error: unknown) =>
    out.destroy(error instanceof Error ? error : new Error(String(error))),
  );
  return out;
}

/** What follows the last gzip member is passed over by zlib without a word; in a log there is nothing. */
function assertAllUsed(file: ReadStream, gunzip: Gunzip, path: string): Transform {
  return new Transform({
    highWaterMark: CHUNK,
    transform: (chunk, _encoding, done) => done(null, chunk),
    flush: (done) =>
      done(
        gunzip.bytesWritten === file.bytesRead
          ? null
          : new Error(`${path} goes on after the end of what is compressed`),
      ),
  });
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
