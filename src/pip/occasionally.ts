import type { Clock } from '../pdp/ports.ts';

/** Makes what calls its argument now, unless it did so less than `intervalMs` ago: for the log lines of what may happen all the time. */
export function createOccasionally(clock: Clock, intervalMs: number): (say: () => void) => void {
  let last: number | undefined;
  return (say) => {
    const now = clock.monotonic();
    if (last !== undefined && now - last < intervalMs) return;
    last = now;
    say();
  };
}
