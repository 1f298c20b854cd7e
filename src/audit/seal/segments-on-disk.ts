import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { packName, segmentName, segmentsOf } from '../log/segments.ts';

/** A segment with what there is of it. */
export interface SegmentOnDisk {
  readonly firstIndex: number;
  /** Index of the first record of the segment after it; infinite for the last one. */
  readonly end: number;
  /** Paths of its lines and its pack, compressed or not. */
  readonly files: readonly string[];
  /** What those have. */
  readonly bytes: number;
}

/** The segments of a log, oldest first. Throws the system's error. */
export function segmentsOnDisk(dir: string): readonly SegmentOnDisk[] {
  const names = new Set(readdirSync(dir));
  return segmentsOf(dir, [...names]).map(({ firstIndex }, at, segments) => {
    const end = segments[at + 1]?.firstIndex ?? Number.POSITIVE_INFINITY;
    const own = [segmentName(firstIndex), packName(firstIndex)].flatMap((name) => [name, `${name}.gz`]);
    const files = own.filter((name) => names.has(name)).map((name) => join(dir, name));
    return { firstIndex, end, files, bytes: files.reduce((sum, file) => sum + sizeOf(file), 0) };
  });
}

/** Whether a segment will not grow any more (`open`: first index of the one in use) and lies wholly below an index. */
export function isClosedBelow({ end, firstIndex }: SegmentOnDisk, index: number, open: number): boolean {
  return end <= index && firstIndex < open;
}

function sizeOf(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.size ?? 0;
}
