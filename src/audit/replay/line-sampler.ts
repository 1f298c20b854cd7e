import { type FileHandle, open } from 'node:fs/promises';
import { currentForm, linesOf } from '../read/segment-source.ts';

/** Lines of a segment that follow one another. */
export interface LineRange {
  readonly path: string;
  readonly compressed: boolean;
  /** How many lines of the segment are before the first. */
  readonly before: number;
  readonly count: number;
  /** Bytes before the first line, once uncompressed. */
  readonly start: number;
  /** Bytes to the end of the last line; absent: to the end of the file. */
  readonly end?: number;
}

/** Bytes that are read to find lines by their numbers; of more, places are drawn. */
const MAX_READ = 8 * 1024 * 1024;
/** A line is at most 65 535 bytes: this holds a whole one, wherever it begins. */
const WINDOW = 128 * 1024;
const LINE_FEED = 0x0a;

/**
 * Draws about `count` lines of a range by chance, each at most once. Of a long range that is not compressed only the drawn places are read: the
 * line after each, so that one that follows a longer one is a little likelier. Throws the system's error.
 */
export async function sampleLines(listed: LineRange, count: number): Promise<readonly Buffer[]> {
  if (count <= 0 || listed.count <= 0) return [];
  const range = { ...listed, ...currentForm(listed) };
  if (range.compressed) return await ofStream(range, count);
  await using file = await open(range.path, 'r');
  const end = range.end ?? (await file.stat()).size;
  if (end - range.start > MAX_READ) return await ofPlaces(file, { ...range, end }, count);
  const bytes = await read(file, range.start, end);
  return chosen(split(bytes), count);
}

async function ofStream(range: LineRange, count: number): Promise<readonly Buffer[]> {
  const numbers = drawn(range.count, count);
  const lines: Buffer[] = [];
  let number = -range.before;
  for await (const { lines: some, torn } of linesOf(range)) {
    for (const line of torn ? [] : some) {
      // A slice would keep the whole chunk that was read.
      if (numbers.has(number)) lines.push(Buffer.from(line));
      number += 1;
    }
    if (lines.length === numbers.size) break;
  }
  return lines;
}

async function ofPlaces(
  file: FileHandle,
  { start, end }: { readonly start: number; readonly end: number },
  count: number,
): Promise<readonly Buffer[]> {
  const lines = new Map<number, Buffer>();
  for (let i = 0; i < count; i += 1) {
    const at = start + Math.floor(Math.random() * (end - start));
    const bytes = await read(file, at, Math.min(end, at + WINDOW));
    const begin = bytes.indexOf(LINE_FEED) + 1;
    const close = bytes.indexOf(LINE_FEED, begin);
    if (begin > 0 && close > begin) lines.set(at + begin, Buffer.from(bytes.subarray(begin, close)));
  }
  return [...lines.values()];
}

async function read(file: FileHandle, start: number, end: number): Promise<Buffer> {
  const length = Math.max(0, end - start);
  const { buffer, bytesRead } = await file.read(Buffer.alloc(length), 0, length, start);
  return buffer.subarray(0, bytesRead);
}

function split(bytes: Buffer): Buffer[] {
  const lines: Buffer[] = [];
  let start = 0;
  for (let end = bytes.indexOf(LINE_FEED); end !== -1; end = bytes.indexOf(LINE_FEED, start)) {
    lines.push(bytes.subarray(start, end));
    start = end + 1;
  }
  return lines;
}

function chosen(lines: readonly Buffer[], count: number): readonly Buffer[] {
  const numbers = drawn(lines.length, count);
  return lines.filter((_, number) => numbers.has(number));
}

/** `count` different numbers below `below`, or all of them. */
function drawn(below: number, count: number): ReadonlySet<number> {
  const numbers = new Set<number>();
  if (count * 2 >= below) {
    const left = Array.from({ length: below }, (_, number) => number);
    while (numbers.size < Math.min(count, below)) {
      const [number] = left.splice(Math.floor(Math.random() * left.length), 1);
      if (number !== undefined) numbers.add(number);
    }
    return numbers;
  }
  while (numbers.size < count) numbers.add(Math.floor(Math.random() * below));
  return numbers;
}
