import { messageOf } from '../../pdp/errors.ts';
import { sameHash } from '../tlog/hash.ts';
import { rootAt } from '../tlog/proofs.ts';
import { type TileReader, TILE_WIDTH, readTile } from '../tlog/tiles.ts';
import { TlogError } from '../tlog/tlog-error.ts';
import { type TileFile, TileTree } from '../tlog/tree.ts';
import type { Findings } from './findings.ts';
import type { SealedCheckpoint } from '../tlog/epoch.ts';

/** A checkpoint to compare with, and what to call it. */
export interface ExpectedHead {
  readonly checkpoint: SealedCheckpoint;
  /** File or option that it is from. */
  readonly name: string;
}

/**
 * Builds the tree of a log again from the leaf hashes of its lines, and compares it with the tiles above them and with every checkpoint of which it
 * passes the size. Memory: one tile for each level.
 */
export class TreeCheck {
  readonly #tiles: TileReader;
  readonly #findings: Findings;
  readonly #heads: AsyncIterator<ExpectedHead>;
  readonly #told = new Set<string>();
  #tree = new TileTree();
  #due: ExpectedHead | undefined;
  /** The last checkpoint that agreed. */
  #agreed = 0;
  #broken = false;
  /** The root last built: an idle log has many checkpoints of one size. */
  #root: { readonly size: number; readonly root: Uint8Array } | undefined;
  /** Checkpoints that were compared with. */
  compared = 0;
  /** Checkpoints over a size at which the tree could not be built again. */
  passedOver = 0;

  constructor(tiles: TileReader, heads: AsyncIterator<ExpectedHead>, findings: Findings) {
    this.#tiles = tiles;
    this.#heads = heads;
    this.#findings = findings;
  }

  /** Takes the first checkpoint that is due. To be called once, before anything else. */
  async begin(): Promise<void> {
    await this.#nextHead();
    await this.compareHeads();
  }

  /** Number of leaves so far. */
  get size(): number {
    return this.#tree.size;
  }

  /** Whether {@link compareHeads} must be called before the next leaf. */
  get headDue(): boolean {
    return this.#due !== undefined && this.#due.checkpoint.size <= this.#tree.size;
  }

  append(leaf: Uint8Array): void {
    this.#tree.append(leaf);
    if (this.#tree.size % TILE_WIDTH === 0) this.#compareTiles(({ width }) => width === TILE_WIDTH);
  }

  /** Goes on at a size of which the leaves before are not all at hand, by the tiles; the checkpoints vouch for those. */
  jumpTo(size: number): void {
    this.compareEdge();
    try {
      this.#tree = TileTree.open(size, this.#tiles);
    } catch (error) {
      if (!(error instanceof TlogError)) throw error;
      this.#broken = true;
      this.#findings.add(
        'integrity',
        'failed',
        `the tree cannot be built past the record ${size}: ${messageOf(error)}`,
      );
    }
  }

  /** Compares the right edge of the tree with the tiles that are stored for it. */
  compareEdge(): void {
    this.#compareTiles(() => true);
  }

  /** Compares with every checkpoint whose size is reached. */
  async compareHeads(): Promise<void> {
    while (this.#due !== undefined && this.headDue) {
      this.#compare(this.#due);
      await this.#nextHead();
    }
  }

  async #nextHead(): Promise<void> {
    const next = await this.#heads.next();
    this.#due = next.done === true ? undefined : next.value;
  }

  #compare({ checkpoint, name }: ExpectedHead): void {
    const root = this.#rootAt(checkpoint.size);
    if (root === undefined) {
      this.passedOver += 1;
      if (name === OLDER)
        this.#findings.add(
          'integrity',
          'unchecked',
          `${name} is over ${checkpoint.size} records, of which the last were removed by retention`,
        );
      return;
    }
    this.compared += 1;
    if (sameHash(root, checkpoint.root)) this.#agreed = Math.max(this.#agreed, checkpoint.size);
    // All later ones differ too: the first one says from where on.
    else if (!this.#told.has(name)) {
      this.#told.add(name);
      this.#findings.add(
        'integrity',
        'failed',
        `the records do not come to what was signed over the first ${checkpoint.size} of them; up to ${this.#agreed} they do`,
        { file: name },
      );
    }
  }

  /** Of a size that was jumped over, as far as tiles are there. */
  #rootAt(size: number): Uint8Array | undefined {
    if (this.#root?.size === size) return this.#root.root;
    try {
      const root = size === this.#tree.size && !this.#broken ? this.#tree.root() : rootAt(size, this.#tiles);
      this.#root = { size, root };
      return root;
    } catch (error) {
      if (error instanceof TlogError) return undefined;
      throw error;
    }
  }

  /** Level 0 was compared line by line. */
  #compareTiles(which: (tile: TileFile) => boolean): void {
    for (const tile of this.#tree.takeTiles())
      if (tile.level > 0 && which(tile) && !this.#broken) this.#compareTile(tile);
  }

  #compareTile(tile: TileFile): void {
    const message = this.#difference(tile);
    if (message === undefined || this.#told.has(tile.path)) return;
    if (this.#told.size < 1000) this.#told.add(tile.path);
    this.#findings.add('integrity', 'failed', message, { file: tile.path });
  }

  #difference(tile: TileFile): string | undefined {
    try {
      return readTile(this.#tiles, tile).equals(tile.bytes)
        ? undefined
        : 'the tile is not what the records come to';
    } catch (error) {
      if (error instanceof TlogError) return `a tile is missing or malformed (${error.message})`;
      throw error;
    }
  }
}

/** What the checkpoint that whoever checks has brought is called. */
export const OLDER = '--checkpoint';
