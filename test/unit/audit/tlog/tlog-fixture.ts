import { EMPTY_ROOT, leafHash, nodeHash } from '../../../../src/audit/tlog/hash.ts';
import { tilePath, type TileFileReader } from '../../../../src/audit/tlog/tiles.ts';
import { TileTree } from '../../../../src/audit/tlog/tree.ts';

/** The name of the log in these tests. */
export const ORIGIN = 'example.com/pdp/test';

/** Leaf hashes of `count` lines that all differ. */
export function leavesOf(count: number): Buffer[] {
  return Array.from({ length: count }, (_, index) => leafHash(Buffer.from(`line ${index}`)));
}

/** The root as RFC 6962 section 2.1 defines it, written down from the definition: what everything else is measured against. */
export function rootByDefinition(leaves: readonly Uint8Array[]): Uint8Array {
  const [first] = leaves;
  if (first === undefined) return EMPTY_ROOT;
  if (leaves.length === 1) return first;
  let split = 1;
  while (split * 2 < leaves.length) split *= 2;
  return nodeHash(rootByDefinition(leaves.slice(0, split)), rootByDefinition(leaves.slice(split)));
}

/** A folder of tiles in memory, with what a sealer would have written into it. */
export class TileStore {
  readonly files = new Map<string, Uint8Array>();
  readonly read: TileFileReader = (path) => this.files.get(path);

  /** Writes what the tree has to write. */
  seal(tree: TileTree): void {
    for (const { path, bytes } of tree.takeTiles()) this.files.set(path, bytes);
  }

  /** Removes full level-0 tiles below an index, as retention does. */
  pruneLeavesBelow(tileIndex: number): void {
    for (let index = 0; index < tileIndex; index++) this.files.delete(tilePath(0, index));
  }
}

/** The tiles of a tree over these leaves, written at the given sizes and at the end. */
export function storeOf(leaves: readonly Uint8Array[], sealAt: readonly number[] = []): TileStore {
  const store = new TileStore();
  const tree = new TileTree();
  for (const leaf of leaves) {
    if (sealAt.includes(tree.size)) store.seal(tree);
    tree.append(leaf);
  }
  store.seal(tree);
  return store;
}

/** A copy with one bit of one byte flipped. */
export function flipped(bytes: Uint8Array, at: number, mask = 0x01): Buffer {
  const copy = Buffer.from(bytes);
  copy[at] = (copy[at] ?? 0) ^ mask;
  return copy;
}
