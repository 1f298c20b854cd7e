import { createLocalJWKSet } from 'jose';
import type { Fetch } from '../../pdp/bounded-fetch.ts';
import type { Log } from '../../pdp/log.ts';
import type { Clock } from '../../pdp/ports.ts';
import { readJwks } from './jwks-document.ts';
import { createKeySetById } from './jwks-by-id.ts';
import { type Holder, type Refresher, refreshFromFile, refreshFromUrl } from './jwks-refresh.ts';
import type { SignatureKeys } from '../token/token-signature.ts';

/** Where an issuer's keys come from. */
export type KeySource =
  | { readonly file: string }
  | { readonly url: string }
  /** One URL for each key, with `{kid}` in the place of its id, and the algorithm of the keys. */
  | { readonly pemUrl: string; readonly algorithm: string };

/** The keys of an issuer at one time; other keys are another resolver. */
export type KeyResolver = SignatureKeys;

/** The current public keys of one issuer, kept fresh off the path of requests. */
export interface KeySet extends Disposable {
  readonly name: string;
  /** Gets the keys for the first time and keeps them fresh from then on. A failure is logged, not thrown. */
  start(): Promise<void>;
  /** The keys; `undefined` where there are none, or where they were last confirmed too long before `now` (Unix ms). */
  keys(now: number): KeyResolver | undefined;
  /**
   * Asks for newer keys, because a token named one we do not have (`keyId`, where it names it), or none of ours made its signature. What
   * is fetched for it is limited: once in 10 s, or one key in 5 s. Returns at once.
   */
  requestRefresh(keyId?: string): void;
  /** Unix ms at which the source last confirmed the keys; `undefined` before the first time. */
  readonly lastSuccess: number | undefined;
  /** How often the keys could not be refreshed since the start; of a file, how often something new was wrong with it. */
  readonly failures: number;
}

/** Settings of {@link createKeySet}. */
export interface KeySetOptions {
  /** Name of the issuer, for logs. */
  readonly name: string;
  readonly source: KeySource;
  readonly clock: Clock;
  /** Default: the global `fetch`. */
  readonly fetch?: Fetch;
  /** Ms between fetches; default 300 000. A file is looked at every second, or as often as this where it is less. */
  readonly refreshMs?: number;
  /** Ms after the last confirmation beyond which the keys are not used any more; default 3 600 000. */
  readonly staleCeilingMs?: number;
  readonly log: Log;
}

/**
 * Makes the key set of one issuer. Keys that were good stay in use while the source fails, up to the ceiling; the empty set
 * of a working source takes effect at once, since that is how an issuer withdraws its keys. Throws `InputError` for a URL
 * that is not https (plain HTTP is for loopback addresses only).
 */
export function createKeySet(options: KeySetOptions): KeySet {
  const { name, source, clock, log } = options;
  const ceiling = options.staleCeilingMs ?? STALE_CEILING_MS;
  if ('pemUrl' in source) {
    const { pemUrl: template, algorithm } = source;
    const { fetch = globalThis.fetch, refreshMs = REFRESH_MS } = options;
    return createKeySetById({
      name,
      clock,
      log,
      fetch,
      refreshMs,
      staleCeilingMs: ceiling,
      template,
      algorithm,
    });
  }
  let resolver: KeyResolver | undefined;
  let lastText: string | undefined;
  let lastSuccess: number | undefined;
  let failures = 0;
  const confirmed = (): void => {
    lastSuccess = clock.now();
  };
  const failed = (problem: string): void => {
    failures += 1;
    log.warn({ issuer: name, problem }, 'keys of the issuer could not be refreshed');
  };
  const offer = (text: string): boolean => {
    const reading = text === lastText ? undefined : readJwks(text);
    if (reading !== undefined && 'problem' in reading) {
      failed(`the key set ${reading.problem}`);
      return false;
    }
    if (reading !== undefined) {
      resolver = reading.keys.length === 0 ? undefined : createLocalJWKSet({ keys: [...reading.keys] });
      log.info({ issuer: name, keys: reading.keys.length }, 'keys of the issuer changed');
    }
    lastText = text;
    confirmed();
    return true;
  };
  const refresher = refresherFor(options, source, { offer, confirmed, failed });
  return {
    name,
    ...refresher,
    get lastSuccess() {
      return lastSuccess;
    },
    get failures() {
      return failures;
    },
    keys: (now) => (lastSuccess === undefined || now - lastSuccess > ceiling ? undefined : resolver),
  };
}

const REFRESH_MS = 300_000;
const STALE_CEILING_MS = 3_600_000;

function refresherFor(
  { name, refreshMs, clock, ...options }: KeySetOptions,
  source: { readonly file: string } | { readonly url: string },
  holder: Holder,
): Refresher {
  if ('file' in source) return refreshFromFile({ file: source.file, refreshMs: refreshMs ?? 1_000 }, holder);
  const fetch = options.fetch ?? globalThis.fetch;
  return refreshFromUrl({ name, url: source.url, fetch, refreshMs: refreshMs ?? REFRESH_MS, clock }, holder);
}
