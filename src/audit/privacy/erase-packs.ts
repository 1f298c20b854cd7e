import {
  createWriteStream,
  existsSync,
  openSync,
  closeSync,
  fsyncSync,
  readdirSync,
  renameSync,
  rmSync,
} from 'node:fs';
import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';
import { segmentName } from '../log/segments.ts';
import { parseRecord } from '../read/decision-record.ts';
import { type Lines, type LineSource, readLines } from '../read/line-reader.ts';

/** The pack of a segment, in one of its forms. */
export interface PackFile extends LineSource {
  readonly dir: string;
  readonly firstIndex: number;
}

const PACK = /^segment-(\d{20})\.blobs(\.gz)?$/;
const DRAFT = /^segment-\d{20}\.blobs(?:\.gz)?\.[0-9a-f-]{36}\.erasing$/;
const SPACE = 0x20;
const LINE_FEED = Buffer.from('\n');

/** The packs of a log, oldest first; of one that is being compressed, both forms. Throws the system's error. */
export function packFiles(dir: string): readonly PackFile[] {
  return readdirSync(dir)
    .toSorted()
    .flatMap((name) => {
      const [, digits, gz] = PACK.exec(name) ?? [];
      if (digits === undefined) return [];
      return [{ dir, path: join(dir, name), firstIndex: Number(digits), compressed: gz !== undefined }];
    });
}

/** Removes what an erasure left that was killed. */
export function removeDrafts(dir: string): void {
  for (const name of readdirSync(dir)) if (DRAFT.test(name)) rmSync(join(dir, name), { force: true });
}

/** How many blobs of a pack hold data of one of the subjects, by pseudonym. A pack that is gone has none. */
export async function countBlobsOf(pack: PackFile, subjects: ReadonlySet<string>): Promise<number> {
  let count = 0;
  for await (const { lines } of linesIn(pack)) {
    for (const line of lines) if (holdsDataOf(line, subjects)) count += 1;
  }
  return count;
}

/**
 * Replaces each blob that holds data of one of the subjects by a note of the erasure. The pack is as it was or as it is to be, never in between, and on the
 * medium afterwards. Throws the system's error.
 */
export async function eraseBlobsOf(
  pack: PackFile,
  subjects: ReadonlySet<string>,
  erasure: string,
): Promise<void> {
  const { dir, path, firstIndex, compressed } = pack;
  const draft = `${path}.${randomUUID()}.erasing`;
  const note = Buffer.from(` {"kind":"erased","erasure":"${erasure}"}`);
  try {
    const out = createWriteStream(draft, { flags: 'wx', mode: 0o600, flush: true });
    const lines = Readable.from(rewritten(pack, subjects, note));
    await (compressed ? pipeline(lines, createGzip(), out) : pipeline(lines, out));
    renameSync(draft, path);
  } finally {
    rmSync(draft, { force: true });
  }
  const name = join(dir, segmentName(firstIndex));
  // Retention may have removed the segment meanwhile: its pack must not come back.
  if (!existsSync(name) && !existsSync(`${name}.gz`)) rmSync(path, { force: true });
  syncFolder(dir);
}

async function* rewritten(
  pack: PackFile,
  subjects: ReadonlySet<string>,
  note: Buffer,
): AsyncGenerator<Buffer> {
  for await (const { lines, torn } of readLines(pack)) {
    const parts = lines.flatMap((line) => {
      const whole = torn ? undefined : LINE_FEED;
      const kept = holdsDataOf(line, subjects) ? [line.subarray(0, line.indexOf(SPACE)), note] : [line];
      return whole ? [...kept, whole] : kept;
    });
    yield Buffer.concat(parts);
  }
}

async function* linesIn(pack: PackFile): AsyncGenerator<Lines> {
  try {
    yield* readLines(pack);
  } catch (error) {
    if (existsSync(pack.path)) throw error;
  }
}

/** Pseudonyms are plain text: a line without one need not be parsed. */
function holdsDataOf(line: Buffer, subjects: ReadonlySet<string>): boolean {
  if (![...subjects].some((subject) => line.includes(subject))) return false;
  const named = parseRecord(line.subarray(line.indexOf(SPACE) + 1))?.['subjects'];
  return Array.isArray(named) && named.some((subject) => subjects.has(String(subject)));
}

function syncFolder(dir: string): void {
  const fd = openSync(dir, 'r');
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}
