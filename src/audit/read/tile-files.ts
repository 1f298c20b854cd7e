import { readFileSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { HASH_BYTES } from '../tlog/hash.ts';
import { TlogError } from '../tlog/tlog-error.ts';
import { TILE_WIDTH, type TileReader, partialTilesFolder, tilePath } from '../tlog/tiles.ts';

/**
 * Reads the tiles in the folder of a log. A partial tile is also served from a wider one, for the first hashes of a tile never change.
 * Throws `TlogError` `malformed` for a tile that has not the size that its name says, and the system's error for what is there and cannot be read.
 */
export function tileFiles(dir: string): TileReader {
  const read = (level: number, index: number, width: number) => {
    const path = tilePath(level, index, width);
    return readIfThere(dir, path, width * HASH_BYTES);
  };
  return (level, index, width) => {
    const exact = read(level, index, width) ?? read(level, index, TILE_WIDTH);
    if (exact !== undefined) return exact;
    const wider = widths(join(dir, partialTilesFolder(level, index))).find((each) => each > width);
    return wider === undefined ? undefined : read(level, index, wider);
  };
}

function readIfThere(dir: string, path: string, length: number): Buffer | undefined {
  try {
    // Before it is read: what is no tile may be without an end.
    const { size } = statSync(join(dir, path));
    if (size !== length) throw new TlogError('malformed', `${path} has ${size} bytes`);
    return readFileSync(join(dir, path));
  } catch (error) {
    if (isAbsence(error)) return undefined;
    throw error;
  }
}

function widths(folder: string): readonly number[] {
  try {
    return readdirSync(folder)
      .filter((name) => /^[1-9][0-9]{0,2}$/.test(name))
      .map(Number)
      .sort((a, b) => a - b);
  } catch (error) {
    if (isAbsence(error)) return [];
    throw error;
  }
}

function isAbsence(error: unknown): boolean {
  return error instanceof Error && 'code' in error && (error.code === 'ENOENT' || error.code === 'ENOTDIR');
}
