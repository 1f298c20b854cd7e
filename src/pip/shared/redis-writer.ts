import { randomUUID } from 'node:crypto';
import { abortable } from '../../pdp/abortable.ts';
import type { PdpError } from '../../pdp/errors.ts';
import type { PutOptions, SharedEntry } from '../../pdp/shared-state.ts';
import { type RedisClient, isCluster, redisProblem } from '../redis/connection.ts';
import { PUT, type StateKeys, entryText } from './redis-script.ts';
import { fullProblem, refusedPut, roomFor } from './replicated-entries.ts';

/** What {@link RedisWriter} works with. */
export interface RedisWriterOptions {
  readonly redis: RedisClient;
  readonly keys: StateKeys;
  readonly maxEntries: number;
  /** `synced`: on the medium of the server (`WAITAOF`, Redis 7.2). `written`: as safe as the server makes it by itself. */
  readonly durability: 'written' | 'synced';
  /** Ms. */
  readonly timeoutMs: number;
  /** Puts that the log keeps, about; who has missed more reads everything. */
  readonly maxLog: number;
}

/** Puts entries into Redis. */
export class RedisWriter {
  readonly #options: RedisWriterOptions;
  #syncing: Promise<void> | undefined;
  #next: Promise<void> | undefined;

  constructor(options: RedisWriterOptions) {
    this.#options = options;
  }

  /** Puts them, all or none. Returns the generation of the state that they are in. Rejects with `PdpError` `state_unavailable`. */
  async put(entries: readonly SharedEntry[], options?: PutOptions): Promise<string> {
    const timeout = AbortSignal.timeout(this.#options.timeoutMs);
    return await abortable(this.#put(entries, options), timeout).catch((error: unknown) => {
      throw timeout.aborted ? refusedPut('Redis did not answer in time') : problemOf(error);
    });
  }

  async #put(entries: readonly SharedEntry[], options: PutOptions | undefined): Promise<string> {
    const { redis, keys, maxEntries, maxLog, durability } = this.#options;
    const pairs = entries.flatMap((entry) => [entry.key, entryText(entry)]);
    const names = [keys.entries, keys.log, keys.expiries];
    const bounds = [roomFor(maxEntries, options), maxLog];
    const answer = await redis.eval(PUT, names.length, ...names, ...bounds, randomUUID(), ...pairs);
    const [outcome, generation] = answer as [string, string];
    if (outcome === 'full') throw refusedPut(fullProblem(maxEntries, options));
    if (durability === 'synced') await this.#sync();
    return generation;
  }

  /** Waits for one that begins from now on: one that is under way may not cover what was put last. */
  async #sync(): Promise<void> {
    if (this.#syncing === undefined) {
      this.#syncing = this.#waitForMedium().finally(() => (this.#syncing = undefined));
      return await this.#syncing;
    }
    this.#next ??= this.#syncAfter(this.#syncing);
    await this.#next;
  }

  async #syncAfter(current: Promise<void>): Promise<void> {
    await current.catch(() => undefined);
    this.#next = undefined;
    await this.#sync();
  }

  async #waitForMedium(): Promise<void> {
    const { redis, keys, timeoutMs } = this.#options;
    // In a cluster the first command leads the second one to the server that has the keys.
    const [, answer] = isCluster(redis)
      ? ((await redis.pipeline().hlen(keys.entries).call('WAITAOF', 1, 0, timeoutMs).exec()) ?? [])
      : [undefined, [null, await redis.call('WAITAOF', 1, 0, timeoutMs)] as const];
    const [error, counts] = answer ?? [];
    if (error) throw error;
    if (!Array.isArray(counts) || Number(counts[0]) < 1)
      throw refusedPut('the entries did not reach the medium of Redis in time');
  }
}

function problemOf(error: unknown): PdpError {
  if (error instanceof Error && error.name === 'PdpError') return error as PdpError;
  const problem = redisProblem(error);
  if (/unknown command.*WAITAOF/i.test(problem))
    return refusedPut('durability is synced, and the server does not know WAITAOF (Redis 7.2)');
  return refusedPut(`Redis: ${problem}`);
}
