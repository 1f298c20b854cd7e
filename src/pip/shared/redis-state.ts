import { abortable } from '../../pdp/abortable.ts';
import type { PutOptions, SharedEntry, SharedState } from '../../pdp/shared-state.ts';
import { type RedisConnection, connectRedis } from '../redis/connection.ts';
import { type ResyncCause, StateReader } from './redis-reader.ts';
import { StateRestorer } from './redis-restore.ts';
import { stateKeys } from './redis-script.ts';
import { type RedisWriterOptions, RedisWriter } from './redis-writer.ts';
import { type EntriesOptions, ReplicatedEntries, refusedPut } from './replicated-entries.ts';

/** Where a change came from: a put of ours, one of another replica, or everything having been read. */
export type ChangeOrigin = 'own' | 'others' | 'resync';

/** Settings of {@link openRedisState}. */
export interface RedisStateOptions
  extends
    Omit<RedisConnection, 'name' | 'silenceMs'>,
    EntriesOptions,
    Pick<RedisWriterOptions, 'durability' | 'timeoutMs'> {
  /** Before the names of the keys; with a hash tag, so that a cluster keeps them together. */
  readonly keyPrefix: string;
  /** Ms within which a connection that works proves that nothing was missed. */
  readonly heartbeatMs: number;
  /** Puts that the log keeps, about. Default 10 000. */
  readonly maxLog?: number;
  /** Ms over which replicas spread out to give back what Redis has lost. Default 2000. */
  readonly restoreSpreadMs?: number;
  /** Told how many entries came into force. */
  readonly onChanges?: (count: number, origin: ChangeOrigin) => void;
  readonly onResync?: (cause: ResyncCause) => void;
}

const NAME = 'shared_state';
/** How long the start waits for what Redis holds; then it goes on without, and `lagMs` says so. */
const START_MS = 2_000;

/**
 * Opens a state in Redis, held whole in memory. A Redis that is down does not fail the start: the state is empty then, and lags. Writing and
 * reading have a connection each. Throws `InputError` for settings of the connection that are not right.
 */
export async function openRedisState(
  options: RedisStateOptions,
): Promise<SharedState & { readonly size: number }> {
  await using stack = new AsyncDisposableStack();
  const silenceMs = Math.max(1_000, options.timeoutMs, options.heartbeatMs) + 500;
  const connection = { ...options, name: NAME, silenceMs };
  const [writing, reading] = await Promise.all([connectRedis(connection), connectRedis(connection)]);
  stack.defer(() => writing.disconnect());
  const entries = new ReplicatedEntries(options);
  const { maxEntries, durability, timeoutMs, heartbeatMs, clock, log, onChanges } = options;
  const { maxLog = 10_000, restoreSpreadMs: spreadMs = 2_000 } = options;
  const keys = stateKeys(options.keyPrefix);
  const writer = new RedisWriter({ redis: writing, keys, maxEntries, durability, timeoutMs, maxLog });
  const restorer = stack.use(
    new StateRestorer({ put: (lacking) => writer.put(lacking, { restricts: true }), log, spreadMs }),
  );
  const reader = stack.use(
    new StateReader({
      redis: reading,
      keys,
      entries,
      heartbeatMs,
      clock,
      log,
      onSeen: (entry) => restorer.seen(entry),
      onTaken: (taken, origin) => void (taken.length > 0 && onChanges?.(taken.length, origin)),
      onResync: (cause, lacking) => {
        options.onResync?.(cause);
        restorer.restore(lacking);
      },
    }),
  );
  await abortable(reader.start(), AbortSignal.timeout(START_MS)).catch(() => undefined);
  return new RedisState({ entries, writer, reader, ...(onChanges && { onChanges }) }, stack.move());
}

interface RedisStateParts {
  readonly entries: ReplicatedEntries;
  readonly writer: RedisWriter;
  readonly reader: StateReader;
  readonly onChanges?: (count: number, origin: ChangeOrigin) => void;
}

class RedisState implements SharedState {
  readonly #parts: RedisStateParts;
  readonly #owned: AsyncDisposableStack;

  constructor(parts: RedisStateParts, owned: AsyncDisposableStack) {
    this.#parts = parts;
    this.#owned = owned;
  }

  get size(): number {
    return this.#parts.entries.size;
  }

  async put(given: readonly SharedEntry[], options?: PutOptions): Promise<void> {
    const { entries: held, writer, reader, onChanges } = this.#parts;
    const entries = held.check(given);
    if (this.#owned.disposed) throw refusedPut('it is closed');
    if (entries.length === 0) return;
    // Redis may know greater ones already: these are on their way here, and take the place of ours.
    reader.look(await writer.put(entries, options));
    const taken = held.merge(entries);
    if (taken.length > 0) onChanges?.(taken.length, 'own');
  }

  get(key: string): SharedEntry | undefined {
    return this.#parts.entries.get(key);
  }

  list(prefix: string): readonly SharedEntry[] {
    return this.#parts.entries.list(prefix);
  }

  onChange(listener: (entry: SharedEntry) => void): Disposable {
    return this.#parts.entries.onChange(listener);
  }

  lagMs(): number {
    return this.#parts.reader.lagMs();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#owned.disposeAsync();
  }
}
