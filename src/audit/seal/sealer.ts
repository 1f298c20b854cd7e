import type { Clock } from '../../pdp/ports.ts';
import type { Committed } from '../log/commit-position.ts';
import { tileFiles } from '../read/tile-files.ts';
import { signCheckpoint } from '../tlog/checkpoint.ts';
import type { EpochCertificate } from '../tlog/epoch.ts';
import { leafHash, sameHash } from '../tlog/hash.ts';
import { TILE_WIDTH, hashAt, readTile, type TileReader } from '../tlog/tiles.ts';
import type { TileTree } from '../tlog/tree.ts';
import { CheckpointFiles } from './checkpoint-files.ts';
import { EpochKeys, type EpochKeysOptions } from './epoch-keys.ts';
import { LineFollower } from './line-follower.ts';
import { type SealedHead, openHead } from './sealed-head.ts';
import { SealRefused } from './seal-refused.ts';
import { TileStore } from './tile-store.ts';

/** Records that one checkpoint takes in at most, so that the memory that a backlog needs is bounded. */
const MAX_RECORDS = 64 * 1024;
/** Time in ms after which it takes in no more: a process that does not live for long must get something signed too. */
const MAX_FOLLOW_MS = 500;

/** What a {@link Sealer} needs. */
export interface SealerOptions extends EpochKeysOptions {
  readonly clock: Pick<Clock, 'now'>;
  /** How far the log is final. */
  readonly committed: () => Committed;
  /** Told of every line that is taken into the tree. */
  readonly onLine?: (line: Buffer) => void;
  /** Time in ms after which one checkpoint takes in no more. Default 500. */
  readonly followMs?: number;
}

/** What is sealed: on the medium, in the tree, and signed. */
export interface Sealed {
  /** Records, from 0. */
  readonly size: number;
  /** Unix ms that the newest checkpoint says. */
  readonly time: number;
  /** Whether there was more than one checkpoint takes in. */
  readonly more: boolean;
}

/** Takes the lines of one log into its tree and signs it. */
export class Sealer {
  readonly keys: EpochKeys;
  readonly #options: SealerOptions;
  readonly #files: CheckpointFiles;
  readonly #tree: TileTree;
  readonly #store: TileStore;
  readonly #follower: LineFollower;
  /** What the newest published checkpoint says. */
  #published: { readonly size: number; readonly time: number; readonly root: Uint8Array } | undefined;
  #note: string | undefined;
  #isOwn = false;
  /** Whether keys of epochs that are over are gone. */
  #erased = false;
  #tile: { readonly first: number; readonly bytes: Buffer } | undefined;

  /**
   * Goes on where the newest checkpoint of the log stands. Throws {@link SealRefused} where the checkpoint, the tiles and the lines do not belong
   * together, `InputError` for a bad identity key, and the system's error.
   */
  constructor(options: SealerOptions) {
    this.#options = options;
    const { dir, fs, origin } = options;
    this.keys = new EpochKeys(options);
    this.#files = new CheckpointFiles(dir, fs);
    const tiles = tileFiles(dir);
    const { certificates } = this.keys;
    const head: SealedHead = openHead({ origin, files: this.#files, certificates, tiles });
    this.#published = head.checkpoint;
    this.#note = head.note;
    this.#isOwn = head.checkpoint?.epochs.some(({ number }) => number === this.keys.running?.number) ?? false;
    this.#tree = head.tree;
    this.#store = new TileStore(dir, head.tree, fs);
    this.#follower = new LineFollower(options, head.tree.size);
    try {
      this.#compareSealed(tiles);
      // The last one of a run that was killed.
      this.keepLast();
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** Whether the running epoch has signed the newest checkpoint. */
  get isOwn(): boolean {
    return this.#isOwn;
  }

  /** Whether bytes of the log did not reach the medium: nothing more is signed in this run. */
  get mediumFailed(): boolean {
    return this.#follower.mediumFailed;
  }

  /** Begins a new epoch where it is time to. Throws what kept it from doing so. */
  rotateIfDue(): EpochCertificate | undefined {
    const rotated = this.keys.rotateIfDue(this.#time());
    if (rotated === undefined) return undefined;
    this.#isOwn = false;
    this.#erased = false;
    return rotated;
  }

  /**
   * Seals what is final, at most some ten thousand records of it, and publishes a checkpoint: also over nothing new, as proof that there is nothing.
   * Throws {@link SealRefused}, or the system's error; then nothing was signed, or it was not published, and the next round does it.
   */
  seal(): Sealed {
    const more = this.#store.behind || this.#follow();
    this.#follower.sync();
    if (this.#tree.size !== this.#published?.size) this.#store.write();
    const time = this.#time();
    this.#publish(time);
    return { size: this.#tree.size, time, more };
  }

  /** Keeps the newest checkpoint as the last of this run. */
  keepLast(): void {
    if (this.#note !== undefined) this.#files.keep(this.#note);
  }

  close(): void {
    this.#follower.close();
  }

  /** Takes in what is final; true: it stopped before the end. */
  #follow(): boolean {
    const end = this.#tree.size + MAX_RECORDS;
    const until = performance.now() + (this.#options.followMs ?? MAX_FOLLOW_MS);
    do {
      const lines = this.#follower.read(end);
      if (lines.length === 0) return false;
      for (const line of lines) {
        this.#tree.append(leafHash(line));
        this.#options.onLine?.(line);
      }
    } while (this.#tree.size < end && performance.now() < until);
    return true;
  }

  /** Checkpoints never say an earlier time than those before them, whatever the clock does. */
  #time(): number {
    return Math.max(this.#options.clock.now(), this.#published?.time ?? 0);
  }

  #publish(time: number): void {
    const { origin } = this.#options;
    const { size } = this.#tree;
    const root = this.#tree.root();
    const before = this.#published;
    if (before && (size < before.size || (size === before.size && !sameHash(root, before.root))))
      throw new SealRefused('the tree is not the one that was signed before');
    const signers = this.keys.signersAt(time);
    if (signers.length === 0)
      throw new Error('no key may sign now: the last epoch is over, and a new one could not begin');
    const note = signCheckpoint({ origin, size, root, time }, signers);
    this.#files.publish(note);
    this.#published = { size, time, root };
    this.#note = note;
    this.#isOwn = true;
    if (!this.#erased) this.keys.erasePast();
    this.#erased = true;
    this.#files.keepNowAndThen(note, this.#options.clock.now());
    this.#store.removeSuperseded();
  }

  /** The lines of the last segment that were sealed before must be what was sealed. */
  #compareSealed(tiles: TileReader): void {
    const { size } = this.#tree;
    while (this.#follower.next < size) {
      const first = this.#follower.next;
      const lines = this.#follower.read(size);
      if (lines.length === 0)
        throw new SealRefused(`the records from ${first} on are gone; ${size} were sealed`);
      lines.forEach((line, at) => this.#compare(line, first + at, tiles));
    }
  }

  #compare(line: Buffer, index: number, tiles: TileReader): void {
    const position = index % TILE_WIDTH;
    const width = Math.min(TILE_WIDTH, this.#tree.size - (index - position));
    this.#tile =
      this.#tile?.first === index - position ? this.#tile : this.#leaves(index - position, width, tiles);
    if (!sameHash(hashAt(this.#tile.bytes, position), leafHash(line)))
      throw new SealRefused(
        `the record ${index} is not the one that was sealed: the line or a tile was changed`,
      );
  }

  #leaves(
    first: number,
    width: number,
    tiles: TileReader,
  ): { readonly first: number; readonly bytes: Buffer } {
    try {
      return { first, bytes: readTile(tiles, { level: 0, index: first / TILE_WIDTH, width }) };
    } catch (error) {
      throw new SealRefused(`the tile of the records from ${first} on is missing or damaged`, {
        cause: error,
      });
    }
  }
}
