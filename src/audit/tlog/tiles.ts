import { CompactRange } from './compact-range.ts';
import { HASH_BYTES, nodeHash } from './hash.ts';
import { TlogError } from './tlog-error.ts';

/** Levels of the binary tree that one tile spans (C2SP tlog-tiles). */
export const TILE_HEIGHT = 8;

/** Hashes of a full tile. */
export const TILE_WIDTH = 256;

/** Bytes of a full tile. */
export const TILE_BYTES = TILE_WIDTH * HASH_BYTES;

/** Where a tile is, and how many hashes of it there are. */
export interface TileId {
  /** Tile level: 0 holds leaf hashes; each hash above is the root of one full tile below. */
  readonly level: number;
  /** Position of the tile in its level, from 0. */
  readonly index: number;
  /** Hashes in the tile: 1 to {@link TILE_WIDTH}. */
  readonly width: number;
}

/**
 * Gives the bytes of a tile of which at least the first `width` hashes are needed: that tile at this or any greater width, as its
 * first hashes never change. `undefined`: it is not there.
 */
export type TileReader = (level: number, index: number, width: number) => Uint8Array | undefined;

/** Gives the bytes of the file at this path below the log's folder; `undefined` where there is none. */
export type TileFileReader = (path: string) => Uint8Array | undefined;

function pathOfFull(level: number, index: number): string {
  const digits = String(index);
  const padded = digits.padStart(Math.ceil(digits.length / 3) * 3, '0');
  const parts = padded.match(/\d{3}/g) ?? [];
  return `tile/${level}/${parts.map((part, at) => (at < parts.length - 1 ? `x${part}` : part)).join('/')}`;
}

/** Path of a tile's file, relative to the log's folder, with `/` (C2SP tlog-tiles, "Merkle Tree"): `tile/0/x001/x234/067.p/8`. */
export function tilePath(level: number, index: number, width: number = TILE_WIDTH): string {
  const path = pathOfFull(level, index);
  return width === TILE_WIDTH ? path : `${path}.p/${width}`;
}

/** Folder of a tile's partial versions, which may go once the full tile is written: `tile/0/x001/x234/067.p`. */
export function partialTilesFolder(level: number, index: number): string {
  return `${pathOfFull(level, index)}.p`;
}

/** How many hashes the tile has in a tree of `size` leaves: 0 to {@link TILE_WIDTH}. */
export function tileWidth(level: number, index: number, size: number): number {
  const hashes = Math.floor(size / TILE_WIDTH ** level) - index * TILE_WIDTH;
  return Math.max(0, Math.min(TILE_WIDTH, hashes));
}

/** The tiles of one level in a tree of `size` leaves, from `fromIndex` on; the last one may be partial. */
export function* tilesOfLevel(level: number, size: number, fromIndex = 0): Generator<TileId> {
  for (let index = fromIndex; ; index++) {
    const width = tileWidth(level, index, size);
    if (width === 0) return;
    yield { level, index, width };
  }
}

/** The partial tiles of a tree of `size` leaves, lowest level first: its right edge. None at an empty tree. */
export function partialTiles(size: number): TileId[] {
  const tiles: TileId[] = [];
  for (let level = 0, hashes = size; hashes > 0; level++, hashes = Math.floor(hashes / TILE_WIDTH)) {
    const width = hashes % TILE_WIDTH;
    if (width > 0) tiles.push({ level, index: Math.floor(hashes / TILE_WIDTH), width });
  }
  return tiles;
}

/** How many tile levels a tree of `size` leaves has. */
export function tileLevels(size: number): number {
  let levels = 0;
  for (let hashes = size; hashes > 0; hashes = Math.floor(hashes / TILE_WIDTH)) levels++;
  return levels;
}

/**
 * A {@link TileReader} over the files that a tree of `size` leaves has written: it takes the full tile where there is one, else
 * the partial tile of exactly that size, so a tree that grows meanwhile does no harm.
 */
export function tileReaderAt(size: number, readFile: TileFileReader): TileReader {
  return (level, index, width) => {
    const published = tileWidth(level, index, size);
    if (published < width) return undefined;
    const partial = published < TILE_WIDTH ? readFile(tilePath(level, index, published)) : undefined;
    return partial ?? readFile(tilePath(level, index));
  };
}

/**
 * The first `width` hashes of a tile.
 * @throws TlogError `missing_tile`, or `malformed` where its length is not that of a tile.
 */
export function readTile(reader: TileReader, { level, index, width }: TileId): Buffer {
  const bytes = reader(level, index, width);
  if (bytes === undefined) throw new TlogError('missing_tile', `no ${tilePath(level, index, width)}`);
  if (bytes.length % HASH_BYTES !== 0 || bytes.length > TILE_BYTES || bytes.length < width * HASH_BYTES) {
    throw new TlogError('malformed', `${tilePath(level, index, width)} has ${bytes.length} bytes`);
  }
  return Buffer.from(bytes.buffer, bytes.byteOffset, width * HASH_BYTES);
}

/** Number of hashes in the bytes of a tile. */
export function hashCount(tile: Uint8Array): number {
  return tile.length / HASH_BYTES;
}

/** The hash at a position of a tile; a view, not a copy. */
export function hashAt(tile: Uint8Array, position: number): Uint8Array {
  return tile.subarray(position * HASH_BYTES, (position + 1) * HASH_BYTES);
}

/** Root over the hashes of a tile: of a full tile, what the level above holds for it. */
export function tileRoot(tile: Uint8Array): Buffer {
  const range = new CompactRange();
  for (let position = 0; position < hashCount(tile); position++) range.append(hashAt(tile, position));
  return range.root();
}

/** Hash of the node that is `height` binary levels above a tile's hashes, and the `position`-th of those (perfect subtrees only). */
export function subtreeInTile(tile: Uint8Array, height: number, position: number): Buffer {
  if (height === 0) return Buffer.from(hashAt(tile, position));
  const left = subtreeInTile(tile, height - 1, 2 * position);
  return nodeHash(left, subtreeInTile(tile, height - 1, 2 * position + 1));
}

/**
 * Compares leaf hashes with a tile's: the position of the first that differs, or that only one of them has. `undefined`: all are
 * the same.
 */
export function firstDifference(leaves: Uint8Array, tile: Uint8Array): number | undefined {
  const positions = Math.max(hashCount(leaves), hashCount(tile));
  for (let position = 0; position < positions; position++) {
    if (Buffer.compare(hashAt(leaves, position), hashAt(tile, position)) !== 0) return position;
  }
  return undefined;
}
