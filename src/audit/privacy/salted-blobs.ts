import { randomFillSync } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import { type Blob, type BlobKind, jsonBlob, payloadDigest } from '../record/blob.ts';

/** Makes blobs that can be erased: with a salt, so that what is in the line does not tell their content, and with whose data they hold. */
export interface SaltedBlobs {
  /** A blob of its own. */
  once(kind: BlobKind, json: string, subjects: Iterable<string>): Blob;
  /** One blob for each content and segment. */
  shared(kind: BlobKind, json: string, subjects: Iterable<string>): Blob;
}

/** UTF-16 units of payloads that are remembered; what is forgotten is salted anew, which costs only space. */
const MAX_REMEMBERED = 16 * 1024 * 1024;

/** `segment` tells the segment in use: salts are not taken over into the next one, so that what was erased in one is not told by another. */
export function createSaltedBlobs(segment: () => number): SaltedBlobs {
  const known = new LRUCache<string, Blob>({ maxSize: MAX_REMEMBERED });
  const nextSalt = createSalts();
  let current = segment();
  const once = (kind: BlobKind, json: string, subjects: Iterable<string>): Blob =>
    jsonBlob(kind, json, { salt: nextSalt(), subjects: [...subjects].sort() });
  return {
    once,
    shared(kind, json, subjects) {
      if (segment() !== current) known.clear();
      current = segment();
      const content = payloadDigest(`${kind} ${[...subjects].sort().join(' ')} ${json}`);
      let blob = known.get(content);
      if (blob === undefined) {
        blob = once(kind, json, subjects);
        known.set(content, blob, { size: json.length + 200 });
      }
      return blob;
    },
  };
}

const SALT_BYTES = 16;

/** Asks the system for many at once. */
function createSalts(): () => string {
  const pool = Buffer.alloc(SALT_BYTES * 256);
  let used = pool.length;
  return () => {
    if (used === pool.length) {
      randomFillSync(pool);
      used = 0;
    }
    used += SALT_BYTES;
    return pool.toString('base64url', used - SALT_BYTES, used);
  };
}
