import { hash, type KeyObject } from 'node:crypto';
import type { Fetch } from '../bounded-fetch.ts';
import { InputError } from '../errors.ts';
import type { Log } from '../log.ts';
import type { Clock } from '../ports.ts';
import { fetchUrlProblem } from '../fetch-url.ts';
import { pauseMs } from '../retry-pause.ts';
import type { OpenedBundle } from './bundle.ts';
import { createBundleCache } from './bundle-cache.ts';
import { createBundleIntake } from './bundle-intake.ts';
import { type BundleAnswer, fetchBundle, urlForLog } from './fetch-bundle.ts';

/** How policies are kept that come as a bundle from a URL. */
export interface BundleSourceOptions {
  /** HTTPS; plain HTTP on loopback only. */
  readonly url: string;
  /** Where the last bundle that was taken is kept. Its folder must be writable by this process alone. */
  readonly cacheFile: string;
  /** Ed25519 public keys; empty: unsigned bundles are taken. */
  readonly publicKeys: readonly KeyObject[];
  /** Ms between looks at the source. */
  readonly pollMs: number;
  /** Ms for one answer of the source; 10 s unless given. */
  readonly timeoutMs?: number;
  /** Takes older revisions, too; for a deliberate step back. */
  readonly allowRollback?: boolean;
  readonly clock: Clock;
  readonly log: Log;
  readonly fetch?: Fetch;
  /** Puts a bundle in force. Throws or rejects where it cannot be, and what was in force then still is. Never called twice at once. */
  readonly onBundle: (opened: OpenedBundle) => void | Promise<void>;
  /** Told once of each fetched version that is refused. Must not throw. */
  readonly onRefused?: (problem: string) => void;
}

/** Where a source stands. */
export interface BundleSourceState {
  /** Of the bundle in force; absent while there is none. */
  readonly revision: number | undefined;
  /** Of the bundle in force, where the source has confirmed it since the start. */
  readonly etag: string | undefined;
  /** Unix ms at which the source last gave or confirmed the bundle in force; from the cache, when it gave it. */
  readonly fetchedAt: number | undefined;
  /** Why the newest look, or the cache, brought nothing; absent when the source's word is what is in force. */
  readonly lastError: string | undefined;
}

/** Policies from a URL. What is refused never replaces anything. */
export interface BundleSource extends AsyncDisposable {
  /** Offers the cached bundle, then looks at the source once, then regularly. Never rejects: `state` tells what came of it. */
  start(): Promise<void>;
  /** Looks at the source out of turn; a look under way is finished first. Never rejects. */
  poll(): Promise<void>;
  state(): BundleSourceState;
}

const TIMEOUT_MS = 10_000;
const FIRST_RETRY_MS = 1_000;

/** Keeps a bundle from a URL fresh. Throws `InputError` for a URL that is not allowed. */
export function createBundleSource(options: BundleSourceOptions): BundleSource {
  const problem = fetchUrlProblem(options.url);
  if (problem !== undefined)
    throw new InputError('policies cannot be fetched:', [
      { where: urlForLog(options.url), message: problem },
    ]);
  if (!(options.pollMs > 0)) throw new TypeError('pollMs must be more than 0');
  return new PolledBundleSource(options);
}

class PolledBundleSource implements BundleSource {
  readonly #options: BundleSourceOptions;
  readonly #url: string;
  readonly #intake: ReturnType<typeof createBundleIntake>;
  readonly #closing = new AbortController();
  #timer: NodeJS.Timeout | undefined;
  #running: Promise<void> | undefined;
  #waiting: Promise<void> | undefined;
  #restored = false;
  #failures = 0;
  #etag: string | undefined;
  #fetchedAt: number | undefined;
  #lastError: string | undefined;
  #reported: string | undefined;
  #refused: string | undefined;

  constructor(options: BundleSourceOptions) {
    this.#options = options;
    this.#url = urlForLog(options.url);
    const { cacheFile, publicKeys, onBundle, allowRollback = false } = options;
    const cache = createBundleCache(cacheFile, this.#url);
    this.#intake = createBundleIntake({ cache, publicKeys, allowRollback, onBundle });
  }

  state(): BundleSourceState {
    return {
      revision: this.#intake.active?.revision,
      etag: this.#etag,
      fetchedAt: this.#fetchedAt,
      lastError: this.#lastError,
    };
  }

  async start(): Promise<void> {
    await this.poll();
    this.#schedule();
  }

  /**
   * One turn at a time, so that a late answer cannot overwrite a newer one. Whoever asks while one runs shares the next: the running one
   * may have asked the source too early to see what they are after.
   */
  poll(): Promise<void> {
    if (this.#closing.signal.aborted) return Promise.resolve();
    if (!this.#running) {
      this.#running = this.#turn().finally(() => (this.#running = undefined));
      return this.#running;
    }
    this.#waiting ??= this.#running.then(() => {
      this.#waiting = undefined;
      return this.poll();
    });
    return this.#waiting;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort();
    clearTimeout(this.#timer);
    await this.#running;
  }

  async #turn(): Promise<void> {
    if (!this.#restored) await this.#restore();
    this.#restored = true;
    await this.#look();
  }

  #schedule(): void {
    if (this.#closing.signal.aborted) return;
    const delay = pauseMs(FIRST_RETRY_MS, this.#options.pollMs, this.#failures);
    this.#timer = setTimeout(() => void this.poll().then(() => this.#schedule()), delay).unref();
  }

  async #restore(): Promise<void> {
    try {
      this.#fetchedAt = await this.#intake.restore();
      const { active } = this.#intake;
      if (active) this.#options.log.info(this.#about(active), 'policy bundle activated from the cache');
    } catch (error) {
      const problem = `the cached policy bundle is not used: ${(error as Error).message}`;
      this.#report(problem, problem);
    }
  }

  async #look(): Promise<void> {
    const { url, fetch = globalThis.fetch, timeoutMs = TIMEOUT_MS } = this.#options;
    const { signal } = this.#closing;
    try {
      const answer = await fetchBundle(fetch, { url, etag: this.#etag, timeoutMs, signal });
      this.#failures = 0;
      if (!signal.aborted) await this.#take(answer);
    } catch (error) {
      if (signal.aborted) return;
      this.#failures += 1;
      const problem = (error as Error).message;
      this.#report(`fetch ${problem}`, `the policy bundle cannot be fetched: ${problem}`);
    }
  }

  async #take(answer: BundleAnswer): Promise<void> {
    const now = this.#options.clock.now();
    if (answer.kind === 'unchanged') return this.#confirmed(now);
    try {
      const before = this.#intake.active?.revision;
      const { opened, changed, cacheProblem } = await this.#intake.offer(answer.bytes, now);
      if (changed) this.#options.log.info({ ...this.#about(opened), before }, 'policy bundle activated');
      this.#etag = answer.etag;
      this.#confirmed(now, cacheProblem);
    } catch (error) {
      this.#refuse(answer.etag ?? hash('sha256', answer.bytes, 'hex'), (error as Error).message);
    }
  }

  /** Logs the refusal of a version once, whatever comes in between. */
  #refuse(version: string, problem: string): void {
    this.#lastError = `the fetched policies are not taken, those in force stay: ${problem}`;
    this.#reported = undefined;
    if (version === this.#refused) return;
    this.#refused = version;
    this.#options.log.error(this.#where(), this.#lastError);
    this.#options.onRefused?.(problem);
  }

  /** The bundle in force is what the source has. */
  #confirmed(now: number, cacheProblem?: string): void {
    this.#fetchedAt = now;
    if (cacheProblem === undefined) {
      if (this.#lastError !== undefined)
        this.#options.log.info(this.#where(), 'policy bundle source recovered');
      this.#lastError = undefined;
      this.#reported = undefined;
      return;
    }
    // Forgotten, so that the bundle is sent again and there is something to cache.
    this.#etag = undefined;
    const problem = `the policy bundle cannot be cached, a restart would need its source: ${cacheProblem}`;
    this.#report(`cache ${cacheProblem}`, problem);
  }

  /** Logs trouble with fetching or caching once, until it is over or becomes another. */
  #report(trouble: string, problem: string): void {
    this.#lastError = problem;
    if (trouble === this.#reported) return;
    this.#reported = trouble;
    this.#options.log.error(this.#where(), problem);
  }

  #where(): object {
    const { cacheFile } = this.#options;
    return { url: this.#url, cacheFile, revision: this.#intake.active?.revision };
  }

  #about({ revision, created, signedBy }: OpenedBundle): object {
    return { url: this.#url, revision, created, signedBy };
  }
}
