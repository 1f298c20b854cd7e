import { existsSync, readFileSync, rmdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { parseRecord } from '../read/decision-record.ts';
import { tileFiles } from '../read/tile-files.ts';
import { rootAt } from '../tlog/proofs.ts';
import { TILE_WIDTH, partialTilesFolder, tilePath } from '../tlog/tiles.ts';
import { TlogError } from '../tlog/tlog-error.ts';
import { type SegmentOnDisk, isClosedBelow, segmentsOnDisk } from './segments-on-disk.ts';
import { firstBytes } from './compress-file.ts';
import type { SealFs } from './seal-fs.ts';

const DAY_MS = 24 * 60 * 60 * 1000;
/** More than the longest line. */
const HEAD = 128 * 1024;
const LINE_FEED = 0x0a;

/** What is kept of a log. */
export interface RetentionRules {
  /** Segments of which the newest record is older are removed; absent: none for its age. */
  readonly days?: number | undefined;
  /** The oldest segments are removed while lines and packs have more bytes; absent: none for the size. */
  readonly maxBytes?: number | undefined;
}

/** How far the log has come. */
export interface LogProgress {
  /** Records that are sealed. */
  readonly sealed: number;
  /** First index of the segment in use. */
  readonly open: number;
  /** Records from this index on were not delivered to every sink. */
  readonly keepFrom: number;
  /** Unix ms. */
  readonly now: number;
}

/** What is to be removed. */
export interface Pruning {
  /** Index of the first record that goes now. */
  readonly from: number;
  /** Index of the last one. */
  readonly to: number;
  readonly bytes: number;
  /** Root of the tree up to and with the last one, base64; absent where its tiles are gone. */
  readonly root?: string;
  readonly segments: readonly SegmentOnDisk[];
}

/** What the rules say may go now; `undefined`: nothing. Throws the system's error. */
export function nextPruning(dir: string, rules: RetentionRules, progress: LogProgress): Pruning | undefined {
  if (rules.days === undefined && rules.maxBytes === undefined) return undefined;
  const all = segmentsOnDisk(dir);
  const bytes = all.reduce((sum, segment) => sum + segment.bytes, 0);
  const below = Math.min(progress.sealed, progress.keepFrom);
  const segments: SegmentOnDisk[] = [];
  let left = bytes;
  for (const [at, segment] of all.entries()) {
    const tooLarge = rules.maxBytes !== undefined && left > rules.maxBytes;
    if (!isClosedBelow(segment, below, progress.open)) break;
    if (!tooLarge && !isTooOld(all[at + 1], rules, progress.now)) break;
    segments.push(segment);
    left -= segment.bytes;
  }
  const [first, last] = [segments[0], segments.at(-1)];
  if (first === undefined || last === undefined) return undefined;
  const root = rootOf(dir, last.end);
  return { from: first.firstIndex, to: last.end - 1, bytes: bytes - left, ...(root && { root }), segments };
}

/** Whether the first record of the segment after, which is not older than the newest of this one and near to it, is too old. */
function isTooOld(after: SegmentOnDisk | undefined, { days }: RetentionRules, now: number): boolean {
  const lines = after?.files.find((file) => /\.ndjson(?:\.gz)?$/.test(file));
  if (days === undefined || lines === undefined) return false;
  return now - firstTime(lines) > days * DAY_MS;
}

function firstTime(path: string): number {
  const bytes = firstBytes(path, HEAD);
  const { timestamp } = parseRecord(bytes.subarray(0, bytes.indexOf(LINE_FEED))) ?? {};
  return typeof timestamp === 'string' ? Date.parse(timestamp) : Number.NaN;
}

function rootOf(dir: string, size: number): string | undefined {
  try {
    return rootAt(size, tileFiles(dir)).toString('base64');
  } catch (error) {
    if (error instanceof TlogError) return undefined;
    throw error;
  }
}

/**
 * Removes what was said to go, and the leaf hashes wholly below what stays (C2SP tlog-tiles, "Pruning"): the tiles above them stay, and with
 * them the proofs of all younger records. Throws the system's error; what is left goes with the next attempt.
 */
export function prune(dir: string, { from, to }: Pick<Pruning, 'from' | 'to'>, fs: SealFs): void {
  // As they are now: a segment may have been compressed since it was said to go. First: who reads a segment that is there finds its tiles too.
  const segments = segmentsOnDisk(dir).filter(({ end }) => end <= to + 1);
  for (const { files } of segments) for (const file of files) fs.remove(file);
  const end = Math.floor((to + 1) / TILE_WIDTH);
  for (let index = firstTile(dir, Math.floor(from / TILE_WIDTH)); index < end; index++) {
    const path = join(dir, tilePath(0, index));
    fs.remove(path);
    fs.remove(join(dir, partialTilesFolder(0, index)));
    if (index % 1000 === 999 || index === end - 1) removeIfEmpty(dirname(path));
  }
  fs.syncFolder(dir);
}

/** The first tile to go: also what a crash has left of an earlier time. */
function firstTile(dir: string, index: number): number {
  let first = index;
  while (first > 0 && existsSync(join(dir, tilePath(0, first - 1)))) first--;
  return first;
}

function removeIfEmpty(folder: string): void {
  try {
    rmdirSync(folder);
  } catch {
    // It holds tiles that stay.
  }
}

/**
 * The lowest index that a sink still has to deliver, of those named: what `cursors/<name>.json` says. A sink that has delivered nothing yet needs
 * everything.
 */
export function undeliveredFrom(dir: string, sinks: readonly string[]): number {
  const cursors = sinks.map((name) => {
    const path = join(dir, 'cursors', `${name}.json`);
    const index = existsSync(path) ? parseRecord(readFileSync(path))?.['index'] : undefined;
    return Number.isSafeInteger(index) ? Number(index) : 0;
  });
  return Math.min(Number.POSITIVE_INFINITY, ...cursors);
}
