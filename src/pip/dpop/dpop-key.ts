import { type JWK, calculateJwkThumbprint, importJWK } from 'jose';
import { LRUCache } from 'lru-cache';
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
/** Members that make up the key (RFC 7638 §3.2), by `kty`. */
const MEMBERS: ReadonlyMap<string, readonly string[]> = new Map([
  ['EC', ['crv', 'x', 'y']],
  ['OKP', ['crv', 'x']],
  ['RSA', ['e', 'n']],
]);

/** Makes the reader of keys of proofs: public, asymmetric, of a bearable size, and nothing else. */
export function createDpopKeys(): DpopKeys {
  const imported = new LRUCache<string, DpopKey>({ max: MAX_KEYS });
  return {
    async find(jwk, algorithm, thumbprint) {
      const key = readJwk(jwk);
      if ('problem' in key) return key;
      try {
        // RFC 7638 with SHA-256, as `jkt` is. Before anything is made of the key, which costs more.
        if ((await calculateJwkThumbprint(key)) !== thumbprint)
          return { problem: 'the key of the proof is not the one the token is bound to' };
        const name = `${algorithm} ${thumbprint}`;
        const known = imported.get(name);
        if (known) return known;
        const publicKey = await importJWK(key, algorithm);
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

function readJwk(value: unknown): (JWK & { kty: string }) | { readonly problem: string } {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    return { problem: "the proof holds no 'jwk'" };
  const jwk = value as Readonly<Record<string, unknown>>;
  if (PRIVATE_MEMBERS.some((member) => Object.hasOwn(jwk, member)))
    return { problem: "'jwk' holds a private or symmetric key" };
  const { kty, n, e } = jwk;
  const members = typeof kty === 'string' ? MEMBERS.get(kty) : undefined;
  if (typeof kty !== 'string' || members === undefined) return { problem: "'jwk' is not an asymmetric key" };
  if (kty === 'RSA' && !isBearableRsa(n, e))
    return { problem: `'jwk' is not an RSA key of ${MIN_RSA_BITS} to ${MAX_RSA_BITS} bits` };
  return { kty, ...Object.fromEntries(members.map((member) => [member, jwk[member]])) };
}

function isBearableRsa(n: unknown, e: unknown): boolean {
  if (typeof n !== 'string' || typeof e !== 'string' || e.length > 6) return false;
  const bits = Buffer.from(n, 'base64url').length * 8;
  return bits >= MIN_RSA_BITS && bits <= MAX_RSA_BITS;
}
