import { setImmediate as nextTurn } from 'node:timers/promises';

/** Long work on the thread that serves, done in slices between which other work has its turn. */
export interface Slices {
  /** Gives other work its turn where the slice is used up. Await it every few hundred steps. */
  rest(): Promise<void>;
}

const SLICE_MS = 4;

/** Starts the first slice now. `monotonic` in ms; default: the machine's. Rejects with the reason of `signal` once that is aborted. */
export function createSlices(
  signal?: AbortSignal,
  monotonic: () => number = () => performance.now(),
): Slices {
  let begun = monotonic();
  return {
    async rest() {
      if (monotonic() - begun < SLICE_MS) return;
      await nextTurn();
      signal?.throwIfAborted();
      begun = monotonic();
    },
  };
}
