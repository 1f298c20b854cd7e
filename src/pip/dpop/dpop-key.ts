import { importJWK } from 'jose';
import { LRUCache } from 'lru-cache';
import { isRecord } from '../../pdp/external-json.ts';
import { type KeyMembers, jwkThumbprint, keyMembers } from '../../pdp/jwk-thumbprint.ts';
import type { SignatureKeys } from '../token/token-signature.ts';

/** The public key that a proof carries. */
export interface DpopKey {
  readonly resolver: SignatureKeys;
}

/** Reads the `jwk` of proofs, and remembers the keys of the last ones. */
export interface DpopKeys {
  /** The key with a thumbprint for an algorithm, or why there is none. Never rejects. */
  find(jwk: unknown, algorithm: string, thumbprint: string): Promise<DpopKey | { readonly problem: string }>;
}

const MAX_KEYS = 1_000;
const MIN_RSA_BITS = 2048;
/** Verifying with a longer one costs more than a proof may. */
const MAX_RSA_BITS = 4096;
const PRIVATE_MEMBERS = ['d', 'p', 'q', 'dp', 'dq', 'qi', 'oth', 'k'];

/** Makes the reader of keys of proofs: public, asymmetric, of a bearable size, and nothing else. */
export function createDpopKeys(): DpopKeys {
  const imported = new LRUCache<string, DpopKey>({ max: MAX_KEYS });
  return {
    async find(jwk, algorithm, thumbprint) {
      const key = readJwk(jwk);
      if ('problem' in key) return key;
      const { members } = key;
      try {
        // RFC 7638 with SHA-256, as `jkt` is. Before anything is made of the key, which costs more.
        if (jwkThumbprint(members) !== thumbprint)
          return { problem: 'the key of the proof is not the one the token is bound to' };
        const name = `${algorithm} ${thumbprint}`;
        const known = imported.get(name);
        if (known) return known;
        const publicKey = await importJWK(members, algorithm);
        if (publicKey instanceof Uint8Array) return { problem: "'jwk' is not an asymmetric key" };
        const found = { resolver: async () => publicKey };
        imported.set(name, found);
        return found;
      } catch {
        return { problem: "'jwk' is not a key for the algorithm of the proof" };
      }
    },
  };
}

function readJwk(jwk: unknown): { readonly members: KeyMembers } | { readonly problem: string } {
  if (!isRecord(jwk)) return { problem: "the proof holds no 'jwk'" };
  if (PRIVATE_MEMBERS.some((member) => Object.hasOwn(jwk, member)))
    return { problem: "'jwk' holds a private or symmetric key" };
  const members = keyMembers(jwk);
  if (members === undefined) return { problem: "'jwk' is not an asymmetric key" };
  const { kty, n, e } = members;
  if (kty === 'RSA' && !isBearableRsa(n, e))
    return { problem: `'jwk' is not an RSA key of ${MIN_RSA_BITS} to ${MAX_RSA_BITS} bits` };
  return { members };
}

function isBearableRsa(n: unknown, e: unknown): boolean {
  if (typeof n !== 'string' || typeof e !== 'string' || e.length > 6) return false;
  const bits = Buffer.from(n, 'base64url').length * 8;
  return bits >= MIN_RSA_BITS && bits <= MAX_RSA_BITS;
}
