import { setTimeout as delay } from 'node:timers/promises';
import type { Log } from '../../pdp/log.ts';
import { pauseMs } from '../../pdp/retry-pause.ts';
import type { SharedEntry } from '../../pdp/shared-state.ts';
import { redisProblem } from '../redis/connection.ts';
import { outranks } from './entry.ts';

/** What {@link StateRestorer} works with. */
export interface StateRestorerOptions {
  readonly put: (entries: readonly SharedEntry[]) => Promise<unknown>;
  readonly log: Log;
  /** Ms over which replicas spread out, so that one of them spares the others the work. */
  readonly spreadMs: number;
}

/** Entries of one put: it must not hold up what people put meanwhile. */
const AT_ONCE = 200;

/** Gives back to Redis what it has lost and we still know. What others have given back in the meantime, as the log tells, is left out. */
export class StateRestorer implements AsyncDisposable {
  readonly #options: StateRestorerOptions;
  readonly #closing = new AbortController();
  readonly #lacking = new Map<string, SharedEntry>();
  #running = Promise.resolve();
  #isRunning = false;

  constructor(options: StateRestorerOptions) {
    this.#options = options;
  }

  /** What Redis lacks, instead of what it lacked before. */
  restore(lacking: readonly SharedEntry[]): void {
    this.#lacking.clear();
    for (const entry of lacking) this.#lacking.set(entry.key, entry);
    if (this.#lacking.size > 0 && !this.#isRunning) this.#running = this.#run();
  }

  /** Redis holds this entry. */
  seen(entry: SharedEntry): void {
    const lacking = this.#lacking.get(entry.key);
    if (lacking !== undefined && !outranks(lacking, entry)) this.#lacking.delete(entry.key);
  }

  async #run(): Promise<void> {
    const { log, put, spreadMs } = this.#options;
    const { signal } = this.#closing;
    this.#isRunning = true;
    let pause = Math.random() * spreadMs;
    let failures = 0;
    let restored = 0;
    while (this.#lacking.size > 0) {
      await delay(pause, undefined, { signal }).catch(() => undefined);
      if (signal.aborted) return;
      const entries = this.#lacking.values().take(AT_ONCE).toArray();
      if (entries.length === 0) break;
      try {
        await put(entries);
        for (const entry of entries) this.seen(entry);
        restored += entries.length;
        failures = 0;
        pause = 0;
      } catch (error) {
        failures += 1;
        if (failures === 1)
          log.warn({ problem: redisProblem(error) }, 'what Redis has lost cannot be given back yet');
        pause = pauseMs(500, 10_000, failures);
      }
    }
    this.#isRunning = false;
    if (restored > 0) log.info({ entries: restored }, 'Redis was given back what it had lost');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort();
    await this.#running;
  }
}
