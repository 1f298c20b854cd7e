import { existsSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { type LineSource, type Lines, readLines } from './line-reader.ts';
import { type LogSegment, packOf } from './log-folder.ts';

/** What of a segment is read, while the log may be growing, and its segments be compressed. */
export interface SegmentSource {
  readonly name: string;
  readonly firstIndex: number;
  readonly lines: LineSource;
  readonly pack: LineSource | undefined;
}

/** Looks at a segment as it is now: its lines up to where they end, and a pack that has all that those need. */
export function segmentSource(segment: LogSegment): SegmentSource {
  const { name, firstIndex } = segment;
  const lines = currentForm(segment);
  // The pack of what is in the lines by now was written before them, and is read to its end.
  const end = lines.compressed ? {} : { end: sizeOf(lines.path) };
  const pack = segment.pack ? currentForm(segment.pack) : packOf(dirname(segment.path), firstIndex);
  return { name, firstIndex, lines: { ...lines, ...end }, pack };
}

/** Where a file is by now: it may have been compressed since the folder was listed. */
export function currentForm({
  path,
  compressed = false,
}: LineSource): Required<Pick<LineSource, 'path' | 'compressed'>> {
  if (compressed || existsSync(path) || !existsSync(`${path}.gz`)) return { path, compressed };
  return { path: `${path}.gz`, compressed: true };
}

function sizeOf(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.size ?? 0;
}

/** The lines of a file, also where it is compressed right before it is opened. */
export async function* linesOf(source: LineSource): AsyncGenerator<Lines> {
  try {
    yield* readLines(source);
  } catch (error) {
    const form = currentForm(source);
    // What is not there when it is opened has given no line yet.
    if (!isAbsence(error) || form.path === source.path) throw error;
    yield* readLines({ ...source, ...form });
  }
}

/** The folder is not as it was listed: it is to be looked at anew. */
export class FolderChanged extends Error {
  override readonly name = 'FolderChanged';
}

/** Whether a file is there, in either form. */
export function isThere({ path }: LineSource): boolean {
  return existsSync(path) || existsSync(path.endsWith('.gz') ? path.slice(0, -3) : `${path}.gz`);
}

/** Whether a segment is there in both forms, as it is for a moment while it is compressed. */
export function isTwice({ path, compressed }: LogSegment): boolean {
  return !compressed && existsSync(path) && existsSync(`${path}.gz`);
}

/** Whether a file must not be read by who wants to: that says nothing about the log. */
export function isRefusal(error: unknown): boolean {
  return error instanceof Error && 'code' in error && (error.code === 'EACCES' || error.code === 'EPERM');
}

/** Whether a file is not there: what that means, those around it and the log itself say. */
export function isAbsence(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ENOENT';
}
