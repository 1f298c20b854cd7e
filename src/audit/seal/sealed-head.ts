import { rootAt } from '../tlog/proofs.ts';
import { type SealedCheckpoint, type EpochCertificate, openSealedCheckpoint } from '../tlog/epoch.ts';
import { sameHash } from '../tlog/hash.ts';
import { TlogError } from '../tlog/tlog-error.ts';
import type { TileReader } from '../tlog/tiles.ts';
import { TileTree } from '../tlog/tree.ts';
import { messageOf } from '../../pdp/errors.ts';
import type { CheckpointFiles } from './checkpoint-files.ts';
import { SealRefused } from './seal-refused.ts';

/** What was signed last: what is signed next must be consistent with it. */
export interface SealedHead {
  /** `undefined`: nothing was ever signed. */
  readonly checkpoint: SealedCheckpoint | undefined;
  /** The note of that checkpoint. */
  readonly note: string | undefined;
  /** The tree that it was signed over. */
  readonly tree: TileTree;
}

/** Where {@link openHead} looks. */
export interface HeadSource {
  readonly origin: string;
  readonly files: CheckpointFiles;
  readonly certificates: readonly EpochCertificate[];
  readonly tiles: TileReader;
}

/**
 * Opens the newest checkpoint and the tree behind it. Throws {@link SealRefused} where a key of the log has not signed it, the tiles make
 * another tree, or an older one was put in its place.
 */
export function openHead(source: HeadSource): SealedHead {
  const note = source.files.current();
  const kept = source.files.lastKept();
  if (note === undefined) {
    if (kept !== undefined)
      throw new SealRefused('the checkpoint is gone: restore it from a copy of the log');
    return { checkpoint: undefined, note, tree: new TileTree() };
  }
  const checkpoint = opened(note, source, 'the checkpoint');
  const tree = treeOf(checkpoint, source.tiles);
  if (kept !== undefined && kept !== note)
    assertFollows(opened(kept, source, 'the last of checkpoints.log'), checkpoint, source.tiles);
  return { checkpoint, note, tree };
}

function opened(note: string, { certificates, origin }: HeadSource, what: string): SealedCheckpoint {
  try {
    return openSealedCheckpoint(note, certificates, origin);
  } catch (error) {
    throw new SealRefused(`${what} is not one that a key of this log has signed: ${messageOf(error)}`);
  }
}

function treeOf({ size, root }: SealedCheckpoint, tiles: TileReader): TileTree {
  const tree = unlessMalformed(() => TileTree.open(size, tiles));
  if (sameHash(tree.root(), root)) return tree;
  throw new SealRefused(
    `the tiles do not make the tree of ${size} records that was signed: they were changed`,
  );
}

function unlessMalformed<T>(read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (error instanceof TlogError) throw new SealRefused(`the tiles were changed: ${error.message}`);
    throw error;
  }
}

function assertFollows(older: SealedCheckpoint, newer: SealedCheckpoint, tiles: TileReader): void {
  if (older.size > newer.size)
    throw new SealRefused(
      `the checkpoint is over ${newer.size} records, and one over ${older.size} was signed before: an old state was put back`,
    );
  const root = rootIfThere(older.size, tiles);
  if (root !== undefined && !sameHash(root, older.root))
    throw new SealRefused(`the checkpoint contradicts an earlier one, over ${older.size} records`);
}

/** Of pruned tiles nothing can be said, and need not: that they were is in the log. */
function rootIfThere(size: number, tiles: TileReader): Buffer | undefined {
  try {
    return rootAt(size, tiles);
  } catch (error) {
    if (error instanceof TlogError && error.code === 'missing_tile') return undefined;
    throw error instanceof TlogError ? new SealRefused(`the tiles were changed: ${error.message}`) : error;
  }
}
