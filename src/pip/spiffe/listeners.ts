import { messageOf } from '../../pdp/errors.ts';
import type { Log } from '../../pdp/log.ts';

/** Who is told of changes. One that throws keeps nobody else from hearing. */
export interface Listeners {
  /** Adds a listener; returns how to take it out again. */
  add(listener: () => void): () => void;
  /** Calls all of them. Never throws; `what` has changed, in words for the log. */
  tell(what: string): void;
  /** Takes all of them out. */
  clear(): void;
}

/** Makes an empty set of listeners. */
export function createListeners(log: Log): Listeners {
  const listeners = new Set<() => void>();
  return {
    add(listener) {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
    tell(what) {
      for (const listener of listeners) {
        try {
          listener();
        } catch (error) {
          log.error({ problem: messageOf(error) }, `somebody failed who was told of a change of ${what}`);
        }
      }
    },
    clear: () => listeners.clear(),
  };
}
