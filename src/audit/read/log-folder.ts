import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { InputError, messageOf } from '../../pdp/errors.ts';
import { type Segment, packName, segmentsOf } from '../log/segments.ts';
import type { LineSource } from './line-reader.ts';

/** A segment with the pack of what its lines refer to. */
export interface LogSegment extends Segment {
  /** Absent: the lines refer to nothing, or the pack was removed. */
  readonly pack?: LineSource;
}

/**
 * The segments of a log folder, oldest first, each with its pack. Throws `InputError` where the folder is not there, cannot be read, or
 * holds no log.
 */
export function logSegments(dir: string): readonly LogSegment[] {
  const segments = segmentsOf(dir, namesIn(dir));
  if (segments.length === 0)
    throw refused(
      dir,
      'holds no decision log: there is no segment-*.ndjson; give the folder that `audit.dir` names',
    );
  return segments.map((segment) => {
    const pack = packOf(dir, segment.firstIndex);
    return { ...segment, ...(pack && { pack }) };
  });
}

function namesIn(dir: string): readonly string[] {
  try {
    return readdirSync(dir);
  } catch (error) {
    throw refused(dir, `cannot be read as the folder of a decision log (${messageOf(error)})`);
  }
}

function refused(dir: string, message: string): InputError {
  return new InputError('there is no decision log to read:', [{ where: dir, message }]);
}

/** The pack of a segment as it is now; `undefined`: there is none. */
export function packOf(dir: string, firstIndex: number): LineSource | undefined {
  const path = join(dir, packName(firstIndex));
  if (existsSync(path)) return { path };
  return existsSync(`${path}.gz`) ? { path: `${path}.gz`, compressed: true } : undefined;
}
