import type { Clock } from '../../pdp/ports.ts';

/** Remembers what may be used once. */
export interface ReplayStore {
  /** Remembers `key` for the store's window; `false` where it is remembered already. Rejects where that cannot be told. */
  remember(key: string): Promise<boolean>;
}

/** Settings of {@link createMemoryReplayStore}. */
export interface MemoryReplayStoreOptions {
  readonly clock: Clock;
  /** Ms for which a key is remembered. */
  readonly windowMs: number;
  /** Keys remembered at once. */
  readonly maxEntries: number;
}

/**
 * A store in the memory of this process: enough for one replica, and no more, since another one knows nothing of it. When it is full it
 * rejects, for to forget early is to let a replay through.
 */
export function createMemoryReplayStore(options: MemoryReplayStoreOptions): ReplayStore {
  const { clock, windowMs, maxEntries } = options;
  // One window for all: the order of arrival is the order of expiry.
  const expiries = new Map<string, number>();
  const forgetExpired = (now: number): void => {
    for (const [key, expiry] of expiries) {
      if (expiry > now) return;
      expiries.delete(key);
    }
  };
  return {
    remember: async (key) => {
      const now = clock.monotonic();
      forgetExpired(now);
      if (expiries.has(key)) return false;
      if (expiries.size >= maxEntries)
        throw new Error(`the replay store is full (${maxEntries} proofs in ${windowMs} ms)`);
      expiries.set(key, now + windowMs);
      return true;
    },
  };
}
