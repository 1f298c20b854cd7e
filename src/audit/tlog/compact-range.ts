import { EMPTY_ROOT, nodeHash } from './hash.ts';

/** Root over perfect subtrees, the largest (leftmost) first; {@link EMPTY_ROOT} where there are none. */
export function foldSubtrees(subtrees: readonly Uint8Array[]): Buffer {
  const last = subtrees.at(-1);
  if (last === undefined) return EMPTY_ROOT;
  let root: Buffer = Buffer.from(last);
  for (let index = subtrees.length - 2; index >= 0; index--) {
    root = nodeHash(subtrees[index] ?? EMPTY_ROOT, root);
  }
  return root;
}

/**
 * The root of a growing list of leaf hashes in O(log n) memory: it keeps the perfect subtrees that the list is made of. For a
 * reader who goes over a whole log once.
 */
export class CompactRange {
  readonly #subtrees: Buffer[] = [];
  #size = 0;

  /** Number of leaves. */
  get size(): number {
    return this.#size;
  }

  /** Takes the next leaf hash; its bytes are copied. */
  append(leaf: Uint8Array): void {
    let subtree: Buffer = Buffer.from(leaf);
    for (let rest = this.#size; rest % 2 === 1; rest = (rest - 1) / 2) {
      const left = this.#subtrees.pop();
      if (left !== undefined) subtree = nodeHash(left, subtree);
    }
    this.#subtrees.push(subtree);
    this.#size++;
  }

  /** Root of the tree over all leaves so far. */
  root(): Buffer {
    return foldSubtrees(this.#subtrees);
  }
}
