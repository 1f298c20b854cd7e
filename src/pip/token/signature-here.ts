import { KeyObject, verify } from 'node:crypto';
import type { CryptoKey } from 'jose';

/** Checks in one turn of the event loop: a quarter of a millisecond of it, which all other calls of the turn wait for. */
const MOST_IN_A_TURN = 4;

/** What a key must be for its algorithm to be checked here. */
interface Cheap {
  readonly name: string;
  readonly fits: (algorithm: KeyAlgorithm) => boolean;
}

type KeyAlgorithm = CryptoKey['algorithm'] & {
  readonly namedCurve?: string;
  readonly modulusLength?: number;
  readonly hash?: { readonly name?: string };
};

/** Those that cost about as much as handing them to another thread and back (docs/tokens.md). */
const CHEAP: { readonly [algorithm: string]: Cheap } = {
  ES256: { name: 'ECDSA', fits: ({ namedCurve }) => namedCurve === 'P-256' },
  RS256: {
    name: 'RSASSA-PKCS1-v1_5',
    fits: ({ hash, modulusLength = 0 }) =>
      hash?.name === 'SHA-256' && modulusLength >= 2048 && modulusLength <= 4096,
  },
};

interface HeldKey {
  readonly key: KeyObject;
  readonly dsaEncoding: 'ieee-p1363';
}

const held = new WeakMap<CryptoKey, HeldKey>();
let inThisTurn = 0;

/**
 * Checks a signature on this thread: of a token in its canonical spelling, by the key that is its. `undefined` where it is for the thread pool:
 * the algorithm is a slow one, the key is not exactly one for it, or enough was checked in this turn of the event loop.
 */
export function verifiedHere(token: string, algorithm: string, key: CryptoKey): boolean | undefined {
  const cheap = Object.hasOwn(CHEAP, algorithm) ? CHEAP[algorithm] : undefined;
  if (!cheap || !isUsable(key, cheap) || !hasRoom()) return undefined;
  const end = token.lastIndexOf('.');
  const signature = Buffer.from(token.slice(end + 1), 'base64url');
  return verify('sha256', Buffer.from(token.slice(0, end), 'latin1'), heldKey(key), signature);
}

/** Node.js takes a key over from WebCrypto where it may be exported, as published keys may. */
function isUsable(key: CryptoKey, { name, fits }: Cheap): boolean {
  const verifies = key.type === 'public' && key.extractable && key.usages.includes('verify');
  return verifies && key.algorithm.name === name && fits(key.algorithm);
}

function hasRoom(): boolean {
  if (inThisTurn >= MOST_IN_A_TURN) return false;
  if (inThisTurn === 0) setImmediate(() => (inThisTurn = 0));
  inThisTurn += 1;
  return true;
}

function heldKey(key: CryptoKey): HeldKey {
  let known = held.get(key);
  if (!known) held.set(key, (known = { key: KeyObject.from(key), dsaEncoding: 'ieee-p1363' }));
  return known;
}
