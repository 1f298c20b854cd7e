import { EMPTY_ROOT, HASH_BYTES, nodeHash, sameHash } from './hash.ts';

/** A tree of a log, as a checkpoint names it. */
export interface TreeHead {
  /** Number of leaves. */
  readonly size: number;
  readonly root: Uint8Array;
}

/** More hashes than any tree of 2^53 leaves can need: a longer proof is refused unread. */
export const MAX_PROOF_HASHES = 64;

function isTreeHead({ size, root }: TreeHead): boolean {
  return Number.isSafeInteger(size) && size >= 0 && root.length === HASH_BYTES;
}

function isProof(proof: readonly Uint8Array[]): boolean {
  return proof.length <= MAX_PROOF_HASHES && proof.every((hash) => hash.length === HASH_BYTES);
}

const half = (value: number): number => Math.floor(value / 2);
const isOdd = (value: number): boolean => value % 2 === 1;

/** The root that an inclusion proof leads to (RFC 9162 section 2.1.3.2); `undefined`: it has not the length that it must have. */
function rootFrom(
  index: number,
  size: number,
  leaf: Uint8Array,
  proof: readonly Uint8Array[],
): Uint8Array | undefined {
  let [node, last, root] = [index, size - 1, leaf];
  for (const hash of proof) {
    if (last === 0) return undefined;
    if (isOdd(node) || node === last) {
      root = nodeHash(hash, root);
      for (; !isOdd(node) && node !== 0; last = half(last)) node = half(node);
    } else {
      root = nodeHash(root, hash);
    }
    [node, last] = [half(node), half(last)];
  }
  return last === 0 ? root : undefined;
}

/** Whether the proof shows that `leaf` (a leaf hash) is at `index` in that tree. Never throws. */
export function verifyInclusion(
  leaf: Uint8Array,
  index: number,
  head: TreeHead,
  proof: readonly Uint8Array[],
): boolean {
  const inside = Number.isSafeInteger(index) && index >= 0 && index < head.size;
  if (!inside || !isTreeHead(head) || leaf.length !== HASH_BYTES || !isProof(proof)) return false;
  const root = rootFrom(index, head.size, leaf, proof);
  return root !== undefined && sameHash(root, head.root);
}

/** The two roots that a consistency proof leads to (RFC 9162 section 2.1.4.2), `path` as there; `undefined`: wrong length. */
function rootsFrom(
  from: number,
  to: number,
  path: readonly Uint8Array[],
): { older: Uint8Array; newer: Uint8Array } | undefined {
  const [first, ...rest] = path;
  if (first === undefined) return undefined;
  let [node, last, older, newer] = [from - 1, to - 1, first, first];
  for (; isOdd(node); last = half(last)) node = half(node);
  for (const hash of rest) {
    if (last === 0) return undefined;
    if (isOdd(node) || node === last) {
      [older, newer] = [nodeHash(hash, older), nodeHash(hash, newer)];
      for (; !isOdd(node) && node !== 0; last = half(last)) node = half(node);
    } else {
      newer = nodeHash(newer, hash);
    }
    [node, last] = [half(node), half(last)];
  }
  return last === 0 ? { older, newer } : undefined;
}

/**
 * Whether the proof shows that the tree `to` is the tree `from` with leaves appended. The empty tree is a beginning of every
 * tree; trees of one size must have one root; in both cases the proof must be empty. Never throws.
 */
export function verifyConsistency(from: TreeHead, to: TreeHead, proof: readonly Uint8Array[]): boolean {
  if (!isTreeHead(from) || !isTreeHead(to) || !isProof(proof) || from.size > to.size) return false;
  if (from.size === 0 || from.size === to.size) {
    const known = from.size === 0 ? EMPTY_ROOT : to.root;
    return proof.length === 0 && sameHash(from.root, known) && (to.size > 0 || sameHash(to.root, EMPTY_ROOT));
  }
  // A perfect older tree is a node of the newer one, and its root is left out of the proof.
  const isPerfect = Number.isInteger(Math.log2(from.size));
  const roots = rootsFrom(from.size, to.size, isPerfect ? [from.root, ...proof] : proof);
  return roots !== undefined && sameHash(roots.older, from.root) && sameHash(roots.newer, to.root);
}
