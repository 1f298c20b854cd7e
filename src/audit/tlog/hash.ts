import { hash } from 'node:crypto';

/** Bytes of a SHA-256 hash. */
export const HASH_BYTES = 32;

/** Root of the tree without leaves: SHA-256 of nothing (RFC 6962 section 2.1). */
export const EMPTY_ROOT: Buffer = hash('sha256', '', 'buffer');

const NODE_INPUT = Buffer.alloc(1 + 2 * HASH_BYTES, 0x01);
/** Room for all but the longest lines. */
const LEAF_INPUT = Buffer.alloc(16 * 1024);

/** Leaf hash of a record, given its exact bytes (a log line without `\n`): SHA-256(0x00 || line), RFC 6962 section 2.1. */
export function leafHash(line: Uint8Array): Buffer {
  const bytes = line.length + 1;
  const input = bytes <= LEAF_INPUT.length ? LEAF_INPUT.subarray(0, bytes) : Buffer.alloc(bytes);
  input.set(line, 1);
  return sha256(input);
}

/** Hash of an inner node over two hashes of {@link HASH_BYTES}: SHA-256(0x01 || left || right), RFC 6962 section 2.1. */
export function nodeHash(left: Uint8Array, right: Uint8Array): Buffer {
  NODE_INPUT.set(left, 1);
  NODE_INPUT.set(right, 1 + HASH_BYTES);
  return sha256(NODE_INPUT);
}

/** `hash` is synchronous, so that one buffer serves every call. As text, since it takes half as long again to make a buffer of its own. */
function sha256(input: Uint8Array): Buffer {
  return Buffer.from(hash('sha256', input, 'binary'), 'latin1');
}

/** Whether two hashes are the same bytes. Hashes are public: the time this takes tells nobody anything. */
export function sameHash(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0;
}
