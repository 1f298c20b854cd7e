import { hash } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import type { VerifiedToken } from '../../pdp/identity.ts';
import type { Issuer, TokenUse } from './issuer.ts';
import type { KeyResolver } from '../jwks/jwks.ts';

/** A token that was found good, and what that rested on. */
export interface VerifiedEntry {
  readonly token: VerifiedToken;
  readonly issuer: Issuer;
  /** The keys it was verified with; other keys now mean that it must be verified again. */
  readonly keys: KeyResolver;
  /** The keys of the issuer that are to be used at a time; `undefined` where none may be. */
  currentKeys(now: number): KeyResolver | undefined;
  /** Unix ms. */
  readonly verifiedAt: number;
  /** Unix ms from which on the token is expired, the tolerated skew included. */
  readonly expiresAt: number;
}

/** Settings of a cache of verified tokens. */
export interface VerifiedTokensOptions {
  /** Bound on the whole cache, in bytes; the least recently used tokens go first. 0 keeps none. */
  readonly maxBytes: number;
  /** Ceiling on the life of an entry, in ms. */
  readonly maxAgeMs: number;
}

const ENTRY_OVERHEAD_BYTES = 1000;

/**
 * Remembers verified tokens, so that a signature is checked once and not on every request (docs/tokens.md).
 *
 * The key is the SHA-256 of the whole token: keyed by less, a tampered token would be taken for a known one. Only canonical
 * spellings get here, the high-s twin of an ECDSA signature lowered. Expiry, the issuer's keys and the clock are looked at on every hit, and failures are never kept.
 */
export class VerifiedTokens {
  readonly #entries: LRUCache<string, VerifiedEntry> | undefined;
  readonly #maxAgeMs: number;

  constructor({ maxBytes, maxAgeMs }: VerifiedTokensOptions) {
    this.#entries = maxBytes > 0 && maxAgeMs > 0 ? new LRUCache({ maxSize: maxBytes }) : undefined;
    this.#maxAgeMs = maxAgeMs;
  }

  /** The key of a token for a use and, where given, the header that it came in: it may be good for one and not for another. */
  key(token: string, use: TokenUse, header = ''): string {
    return this.#entries ? `${use} ${header} ${hash('sha256', token, 'base64url')}` : '';
  }

  /** The entry of the token, where it is known and still good at `now` (Unix ms). */
  get(key: string, now: number): VerifiedEntry | undefined {
    const entry = this.#entries?.get(key);
    if (!entry) return undefined;
    const { verifiedAt, expiresAt, keys } = entry;
    // A clock that went back may make a token one that is not valid yet.
    const inTime = now >= verifiedAt && now < expiresAt && now - verifiedAt < this.#maxAgeMs;
    if (inTime && entry.currentKeys(now) === keys) return entry;
    this.#entries?.delete(key);
    return undefined;
  }

  /** Remembers a token; `size` is its length. */
  set(key: string, entry: VerifiedEntry, size: number): void {
    this.#entries?.set(key, entry, { size: ENTRY_OVERHEAD_BYTES + 2 * size });
  }
}
