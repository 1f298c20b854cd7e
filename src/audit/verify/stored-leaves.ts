import { EMPTY_ROOT, sameHash } from '../tlog/hash.ts';
import { rootAt } from '../tlog/proofs.ts';
import {
  type TileReader,
  TILE_WIDTH,
  hashAt,
  hashCount,
  readTile,
  tilePath,
  tileRoot,
  tileWidth,
} from '../tlog/tiles.ts';
import type { TreeHead } from '../tlog/verify-proof.ts';
import { messageOf } from '../../pdp/errors.ts';
import type { Findings } from './findings.ts';

/** Tiles kept in memory: the lines of a log are read in order, with a look ahead or back now and then. */
const KEPT_TILES = 8;

/** The leaf hashes that were stored when the log was sealed, so that a line that differs can be named. */
export class StoredLeaves {
  readonly #head: TreeHead;
  readonly #tiles: TileReader;
  readonly #findings: Findings;
  readonly #kept = new Map<number, Buffer | undefined>();
  readonly #told = new Set<number>();
  #top: boolean | undefined;

  constructor(head: TreeHead, tiles: TileReader, findings: Findings) {
    this.#head = head;
    this.#tiles = tiles;
    this.#findings = findings;
  }

  /** The hash stored for a record; `undefined`: its tile is not there. */
  at(index: number): Uint8Array | undefined {
    if (index >= this.#head.size) return undefined;
    const number = Math.floor(index / TILE_WIDTH);
    if (!this.#kept.has(number)) this.#load(number);
    const tile = this.#kept.get(number);
    return tile && hashAt(tile, index % TILE_WIDTH);
  }

  /** Whether the tile of a record is the one that the tree above it was made of. Where it is not, that is told once. */
  vouchedFor(index: number): boolean {
    const number = Math.floor(index / TILE_WIDTH);
    const tile = this.at(index) && this.#kept.get(number);
    if (tile === undefined) return false;
    if (hashCount(tile) === TILE_WIDTH ? this.#fitsAbove(number, tile) : this.#topFits()) return true;
    if (!this.#told.has(number)) this.#tell(number, 'is not the tile that was sealed');
    return false;
  }

  /** Says that the tile of a record is not there: its lines cannot be told apart. */
  tellMissing(index: number): void {
    const number = Math.floor(index / TILE_WIDTH);
    if (!this.#told.has(number)) this.#tell(number, 'is not there, or is no tile');
  }

  #tell(number: number, message: string): void {
    if (this.#told.size < 1000) this.#told.add(number);
    this.#findings.add('integrity', 'failed', message, { file: tilePath(0, number, this.#width(number)) });
  }

  #width(number: number): number {
    return tileWidth(0, number, this.#head.size);
  }

  #load(number: number): void {
    const oldest = this.#kept.keys().next().value;
    if (this.#kept.size >= KEPT_TILES && oldest !== undefined) this.#kept.delete(oldest);
    this.#kept.set(number, this.#read(0, number, this.#width(number)));
  }

  #read(level: number, index: number, width: number): Buffer | undefined {
    try {
      return readTile(this.#tiles, { level, index, width });
    } catch (error) {
      if (error instanceof Error && error.name === 'TlogError') return undefined;
      throw error;
    }
  }

  #fitsAbove(number: number, tile: Buffer): boolean {
    const position = number % TILE_WIDTH;
    const above = this.#read(1, Math.floor(number / TILE_WIDTH), position + 1);
    return above !== undefined && sameHash(hashAt(above, position), tileRoot(tile));
  }

  /** Whether the stored tiles lead to the root that was signed, at the right edge at least. */
  #topFits(): boolean {
    this.#top ??= sameHash(this.#rootOfTiles(), this.#head.root);
    return this.#top;
  }

  #rootOfTiles(): Uint8Array {
    try {
      return rootAt(this.#head.size, this.#tiles);
    } catch (error) {
      this.#findings.add('integrity', 'failed', `the tiles: ${messageOf(error)}`);
      return EMPTY_ROOT;
    }
  }
}
