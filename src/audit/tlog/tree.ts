import { foldSubtrees } from './compact-range.ts';
import { HASH_BYTES } from './hash.ts';
import {
  hashCount,
  partialTiles,
  readTile,
  subtreeInTile,
  tileLevels,
  tilePath,
  tileRoot,
  TILE_BYTES,
  TILE_HEIGHT,
  TILE_WIDTH,
  type TileId,
  type TileReader,
} from './tiles.ts';

/** A tile to write. */
export interface TileFile extends TileId {
  /** Path below the log's folder, with `/`. */
  readonly path: string;
  readonly bytes: Buffer;
}

/** The tile of one level that is being filled. */
interface OpenTile {
  index: number;
  width: number;
  bytes: Buffer;
}

function newTile(index: number): OpenTile {
  return { index, width: 0, bytes: Buffer.alloc(TILE_BYTES) };
}

function tileFile({ level, index, width }: TileId, bytes: Buffer): TileFile {
  return { level, index, width, path: tilePath(level, index, width), bytes };
}

/** Perfect subtrees that the hashes of a tile make up, the largest first. */
function subtreesOf(tile: Uint8Array): Buffer[] {
  const subtrees: Buffer[] = [];
  const width = hashCount(tile);
  for (let height = TILE_HEIGHT; height >= 0; height--) {
    if (((width >> height) & 1) === 1) subtrees.push(subtreeInTile(tile, height, (width >> height) - 1));
  }
  return subtrees;
}

/**
 * A growing tree that keeps its right edge only: one open tile per level. Appending gives the tiles to write; a process that was
 * restarted opens it again from the tiles of the size that it has signed.
 */
export class TileTree {
  readonly #levels: OpenTile[] = [];
  #full: TileFile[] = [];
  #size = 0;

  /**
   * The tree of `size` leaves of which the tiles were written: reads the partial tile of each level.
   * @throws TlogError `missing_tile` or `malformed`.
   */
  static open(size: number, reader: TileReader): TileTree {
    if (!Number.isSafeInteger(size) || size < 0) throw new RangeError('a tree has a whole number of leaves');
    const tree = new TileTree();
    tree.#size = size;
    for (let level = 0; level < tileLevels(size); level++) {
      tree.#levels.push(newTile(Math.floor(size / TILE_WIDTH ** (level + 1))));
    }
    for (const tile of partialTiles(size)) tree.#fill(tile, readTile(reader, tile));
    return tree;
  }

  #fill({ level, width }: TileId, bytes: Uint8Array): void {
    const open = this.#levels[level];
    if (open === undefined) return;
    open.bytes.set(bytes);
    open.width = width;
  }

  /** Number of leaves. */
  get size(): number {
    return this.#size;
  }

  /** Takes the next leaf hash; its bytes are copied. */
  append(leaf: Uint8Array): void {
    if (leaf.length !== HASH_BYTES) throw new RangeError('a leaf hash has 32 bytes');
    this.#push(0, leaf);
    this.#size++;
  }

  #push(level: number, hash: Uint8Array): void {
    const tile = (this.#levels[level] ??= newTile(0));
    tile.bytes.set(hash, tile.width * HASH_BYTES);
    tile.width++;
    if (tile.width < TILE_WIDTH) return;
    this.#full.push(tileFile({ level, index: tile.index, width: TILE_WIDTH }, tile.bytes));
    this.#levels[level] = newTile(tile.index + 1);
    this.#push(level + 1, tileRoot(tile.bytes));
  }

  /** Root of the tree over all leaves so far. */
  root(): Buffer {
    return foldSubtrees(this.#levels.toReversed().flatMap((tile) => subtreesOf(this.#hashesOf(tile))));
  }

  /**
   * The tiles that a checkpoint of the present size needs and that were not taken yet: those that became full since the last
   * call, then the partial ones. Write all of them before the checkpoint; where that fails, open the tree again at the last
   * checkpoint's size and append the leaves again.
   */
  takeTiles(): TileFile[] {
    const full = this.#full;
    this.#full = [];
    const partial = partialTiles(this.#size).flatMap((id) => {
      const tile = this.#levels[id.level];
      return tile === undefined ? [] : [tileFile(id, Buffer.from(this.#hashesOf(tile)))];
    });
    return [...full, ...partial];
  }

  #hashesOf(tile: OpenTile): Buffer {
    return tile.bytes.subarray(0, tile.width * HASH_BYTES);
  }
}
