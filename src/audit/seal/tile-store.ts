import { join } from 'node:path';
import { TILE_WIDTH, partialTilesFolder } from '../tlog/tiles.ts';
import type { TileFile, TileTree } from '../tlog/tree.ts';
import { type SealFs, writeDurably } from './seal-fs.ts';

/** Writes the tiles of a tree. What could not be written is kept for the next attempt. */
export class TileStore {
  readonly #dir: string;
  readonly #fs: SealFs;
  readonly #tree: TileTree;
  #full: TileFile[] = [];
  /** Full tiles that are written, whose partial versions may go once a checkpoint says so. */
  #superseded: TileFile[] = [];

  constructor(dir: string, tree: TileTree, fs: SealFs) {
    this.#dir = dir;
    this.#tree = tree;
    this.#fs = fs;
  }

  /** Whether an earlier attempt left something to write. */
  get behind(): boolean {
    return this.#full.length > 0;
  }

  /** Brings to the medium all tiles that a checkpoint of the present size needs. Throws the system's error. */
  write(): void {
    const tiles = this.#tree.takeTiles();
    const isFull = ({ width }: TileFile) => width === TILE_WIDTH;
    this.#full.push(...tiles.filter(isFull));
    const files = [...this.#full, ...tiles.filter((tile) => !isFull(tile))];
    writeDurably(
      this.#fs,
      files.map(({ path, bytes }) => ({ path: join(this.#dir, path), bytes, mode: 0o644 })),
    );
    this.#superseded.push(...this.#full);
    this.#full = [];
  }

  /** Removes the partial versions of full tiles (C2SP tlog-tiles allows that from then on). */
  removeSuperseded(): void {
    for (const { level, index } of this.#superseded)
      this.#fs.remove(join(this.#dir, partialTilesFolder(level, index)));
    this.#superseded = [];
  }
}
