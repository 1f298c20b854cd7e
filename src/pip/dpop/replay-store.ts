import type { Log } from '../../pdp/log.ts';
import type { Clock } from '../../pdp/ports.ts';
import { createOccasionally } from '../occasionally.ts';

/** `crowded`: the owner has used up its share of the store, and nothing was remembered. */
export type Remembered = 'new' | 'used' | 'crowded';

/** Remembers what may be used once. */
export interface ReplayStore {
  /** Remembers `key`, which is of `owner`, for the store's window, or says why not. Rejects where it cannot be told whether it is new. */
  remember(key: string, owner: string): Promise<Remembered>;
}

/** Settings of {@link createMemoryReplayStore}. */
export interface MemoryReplayStoreOptions {
  readonly clock: Clock;
  readonly log: Log;
  /** Ms for which a key is remembered. */
  readonly windowMs: number;
  /** Keys remembered at once. */
  readonly maxEntries: number;
  /** Keys of one owner remembered at once: fewer than `maxEntries`, so that nobody takes the room of all. */
  readonly maxPerOwner: number;
}

interface Entry {
  readonly expiry: number;
  readonly owner: string;
}

/**
 * A store in the memory of this process: enough for one replica, and no more, since another one knows nothing of it. When it is full it
 * rejects, for to forget early is to let a replay through.
 */
export function createMemoryReplayStore(options: MemoryReplayStoreOptions): ReplayStore {
  const { clock, log, windowMs, maxEntries, maxPerOwner } = options;
  // One window for all: the order of arrival is the order of expiry.
  const entries = new Map<string, Entry>();
  const counts = new Map<string, number>();
  const occasionally = createOccasionally(clock, windowMs);
  const forgetExpired = (now: number): void => {
    for (const [key, { expiry, owner }] of entries) {
      if (expiry > now) return;
      entries.delete(key);
      const left = (counts.get(owner) ?? 0) - 1;
      if (left > 0) counts.set(owner, left);
      else counts.delete(owner);
    }
  };
  return {
    remember: async (key, owner) => {
      const now = clock.monotonic();
      forgetExpired(now);
      if (entries.has(key)) return 'used';
      const count = counts.get(owner) ?? 0;
      if (count >= maxPerOwner) return 'crowded';
      if (entries.size >= maxEntries) {
        const problem = `the replay store is full (${maxEntries} proofs in ${windowMs} ms)`;
        occasionally(() => log.error({ problem }, 'DPoP proofs of everybody are refused'));
        throw new Error(problem);
      }
      entries.set(key, { expiry: now + windowMs, owner });
      counts.set(owner, count + 1);
      return 'new';
    },
  };
}
