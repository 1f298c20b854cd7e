import { type CryptoKey, errors, importSPKI } from 'jose';
import type { Fetch } from '../../pdp/bounded-fetch.ts';
import { InputError, messageOf } from '../../pdp/errors.ts';
import { fetchUrlProblem } from '../../pdp/fetch-url.ts';
import type { KeyResolver, KeySet, KeySetOptions } from './jwks.ts';
import { Unavailing, fetchJwks } from './jwks-fetch.ts';
import { createKeyTurns } from './key-turns.ts';

/** Settings of {@link createKeySetById}. */
export interface KeySetByIdOptions extends Omit<KeySetOptions, 'source' | 'fetch'> {
  /** URL of a key in PEM, `{kid}` in the place of its id. */
  readonly template: string;
  /** The algorithm that the keys are for. */
  readonly algorithm: string;
  readonly fetch: Fetch;
  readonly refreshMs: number;
  readonly staleCeilingMs: number;
}

interface HeldKey {
  readonly key: CryptoKey;
  /** Unix ms. */
  readonly confirmedAt: number;
}

const KEY_ID = /^[A-Za-z0-9-]{8,64}$/;
const MAX_KEYS = 16;
const PEM = /^\s*-----BEGIN PUBLIC KEY-----[A-Za-z0-9+/=\s]+-----END PUBLIC KEY-----\s*$/;

/**
 * Makes the key set of an issuer that publishes each key under a URL of its own (AWS Verified Access). Which keys there are is only told by the
 * tokens that name them, which nobody has verified: the first token of a key is refused and its key fetched off the path of requests in its
 * turn (see `createKeyTurns`).
 * Keys that were fetched are confirmed at the interval of `refreshMs`, and serve on while that fails, up to `staleCeilingMs`. Throws
 * `InputError` for a URL that is not allowed.
 */
export function createKeySetById(options: KeySetByIdOptions): KeySet {
  const { name, clock, refreshMs } = options;
  const problem = fetchUrlProblem(options.template.replace('{kid}', '0'));
  if (problem !== undefined)
    throw new InputError('keys cannot be fetched', [{ where: name, message: `the key URL ${problem}` }]);
  const held = createHeldKeys(options);
  const closing = new AbortController();
  let failures = 0;
  const fetchKey = async (id: string): Promise<boolean> => {
    try {
      const key = await publicKey(options, id, closing.signal);
      if (!closing.signal.aborted) held.take(id, key);
      return true;
    } catch (error) {
      const problem = messageOf(error);
      if (!closing.signal.aborted)
        options.log.warn({ issuer: name, problem }, 'a key of the issuer could not be fetched');
      const isThere = !(
        error instanceof Error && [error, error.cause].some((one) => one instanceof Unavailing)
      );
      // That an id from an unverified token is nobody's says nothing about the issuer.
      if (isThere || held.has(id)) failures += 1;
      return isThere;
    }
  };
  const turns = createKeyTurns({ name, clock, log: options.log, fetch: fetchKey });
  let timer: NodeJS.Timeout | undefined;
  return {
    name,
    get lastSuccess() {
      return held.lastSuccess;
    },
    get failures() {
      return failures;
    },
    start: async () => {
      timer = setInterval(() => {
        for (const id of held.ids()) void fetchKey(id);
      }, refreshMs).unref();
    },
    keys: (now) => held.resolver(now),
    requestRefresh(id) {
      if (id !== undefined && KEY_ID.test(id) && !held.has(id)) turns.ask(id);
    },
    [Symbol.dispose]() {
      closing.abort();
      turns[Symbol.dispose]();
      clearInterval(timer);
    },
  };
}

interface HeldKeys {
  readonly lastSuccess: number | undefined;
  ids(): Iterable<string>;
  has(id: string): boolean;
  /** Holds the key, or confirms it where it is held. */
  take(id: string, key: CryptoKey): void;
  /** The keys that were confirmed late enough before `now`; the others are dropped. */
  resolver(now: number): KeyResolver;
}

function createHeldKeys(options: KeySetByIdOptions): HeldKeys {
  const held = new Map<string, HeldKey>();
  let resolver = resolverOf(held, options);
  let lastSuccess: number | undefined;
  return {
    get lastSuccess() {
      return lastSuccess;
    },
    ids: () => held.keys(),
    has: (id) => held.has(id),
    take(id, key) {
      const isNew = !held.has(id);
      lastSuccess = options.clock.now();
      held.set(id, { key, confirmedAt: lastSuccess });
      const [oldest] = held.keys();
      if (held.size > MAX_KEYS && oldest !== undefined) held.delete(oldest);
      // Known tokens are bound to the keys they were verified with.
      if (isNew) resolver = resolverOf(held, options);
    },
    resolver(now) {
      for (const [id, { confirmedAt }] of held) {
        if (now - confirmedAt <= options.staleCeilingMs) continue;
        held.delete(id);
        resolver = resolverOf(held, options);
      }
      return resolver;
    },
  };
}

async function publicKey(
  { template, algorithm, fetch }: KeySetByIdOptions,
  id: string,
  signal: AbortSignal,
): Promise<CryptoKey> {
  const text = await fetchJwks(
    fetch,
    template.replace('{kid}', () => id),
    signal,
  );
  if (!PEM.test(text)) throw new Unavailing('the key is not a public key in PEM');
  return await importSPKI(text.trim(), algorithm);
}

function resolverOf(held: ReadonlyMap<string, HeldKey>, { algorithm }: KeySetByIdOptions): KeyResolver {
  const keys = new Map(held);
  return async ({ kid, alg }) => {
    const found = alg === algorithm && typeof kid === 'string' ? keys.get(kid) : undefined;
    if (found === undefined) throw new errors.JWKSNoMatchingKey();
    return found.key;
  };
}
