import {
  type SigningAlgorithm,
  type SigningKey,
  type SigningKeys,
  generateSigningKey,
} from './signing-key.ts';

/** Settings of {@link createGeneratedKeys}; times in ms. */
export interface GeneratedKeysOptions {
  readonly algorithm: SigningAlgorithm;
  /** Unix ms of the start. */
  readonly now: number;
  /** How long one key signs. */
  readonly rotateMs: number;
  /** How long a key is published before it signs: as long as verifiers may keep a key set. */
  readonly publishAheadMs: number;
  /** Life of the longest token. */
  readonly tokenMs: number;
}

interface Term {
  readonly key: SigningKey;
  /** Unix ms. */
  readonly signsFrom: number;
}

/**
 * Keys that live in this process and are rotated with overlap: the next one is published before it signs, and the last one until
 * its tokens have expired and key sets that were fetched for them have gone. Made when they are asked for, without a timer.
 */
export function createGeneratedKeys(options: GeneratedKeysOptions): SigningKeys {
  const { algorithm, rotateMs, publishAheadMs, tokenMs } = options;
  let terms: readonly Term[] = [{ key: generateSigningKey(algorithm), signsFrom: options.now }];
  const held = (now: number): readonly Term[] => {
    const last = terms.at(-1);
    if (last !== undefined && now >= last.signsFrom + rotateMs - publishAheadMs) {
      // Nobody may have asked for a while: the next key is new to verifiers even where it is overdue.
      const signsFrom = Math.max(last.signsFrom + rotateMs, now + publishAheadMs);
      terms = [...terms, { key: generateSigningKey(algorithm), signsFrom }];
    }
    terms = terms.filter((_, index) => {
      const next = terms[index + 1];
      return next === undefined || now < next.signsFrom + tokenMs + publishAheadMs;
    });
    return terms;
  };
  return {
    problem: 'no signing key has been made',
    signer(now) {
      const all = held(now);
      // A clock that went back finds no term begun; the first key is published already.
      return (all.findLast(({ signsFrom }) => signsFrom <= now) ?? all[0])?.key;
    },
    published: (now) => held(now).map(({ key }) => key.jwk),
    [Symbol.dispose]: () => undefined,
  };
}
