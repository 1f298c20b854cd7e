import { hash } from 'node:crypto';

/** Bytes of a SHA-256 hash. */
export const HASH_BYTES = 32;

/** Root of the tree without leaves: SHA-256 of nothing (RFC 6962 section 2.1). */
export const EMPTY_ROOT: Buffer = hash('sha256', '', 'buffer');

const NODE_INPUT = Buffer.alloc(1 + 2 * HASH_BYTES, 0x01);

/** Leaf hash of a record, given its exact bytes (a log line without `\n`): SHA-256(0x00 || line), RFC 6962 section 2.1. */
export function leafHash(line: Uint8Array): Buffer {
  const input = Buffer.allocUnsafe(line.length + 1);
  input[0] = 0x00;
  input.set(line, 1);
  return hash('sha256', input, 'buffer');
}

/** Hash of an inner node over two hashes of {@link HASH_BYTES}: SHA-256(0x01 || left || right), RFC 6962 section 2.1. */
export function nodeHash(left: Uint8Array, right: Uint8Array): Buffer {
  // `hash` is synchronous and copies its input, so that one buffer serves every call.
  NODE_INPUT.set(left, 1);
  NODE_INPUT.set(right, 1 + HASH_BYTES);
  return hash('sha256', NODE_INPUT, 'buffer');
}

/** Whether two hashes are the same bytes. Hashes are public: the time this takes tells nobody anything. */
export function sameHash(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0;
}
