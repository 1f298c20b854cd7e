import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { TILE_WIDTH, type TileReader, partialTilesFolder, tilePath } from '../tlog/tiles.ts';

/**
 * Reads the tiles in the folder of a log. A partial tile is also served from a wider one, for the first hashes of a tile never change.
 * Throws the system's error for what is there and cannot be read.
 */
export function tileFiles(dir: string): TileReader {
  const read = (level: number, index: number, width: number) =>
    readIfThere(join(dir, tilePath(level, index, width)));
  return (level, index, width) => {
    const exact = read(level, index, width) ?? read(level, index, TILE_WIDTH);
    if (exact !== undefined) return exact;
    const wider = widths(join(dir, partialTilesFolder(level, index))).find((each) => each > width);
    return wider === undefined ? undefined : read(level, index, wider);
  };
}

function readIfThere(path: string): Buffer | undefined {
  try {
    return readFileSync(path);
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
