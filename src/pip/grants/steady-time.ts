import type { Clock } from '../../pdp/ports.ts';

/**
 * Wall time that never goes back and never runs slower than the monotonic clock, so that setting the clock back makes no grant longer. It
 * follows a clock that is set forward.
 */
export function createSteadyTime(clock: Clock): () => number {
  let wall = clock.now();
  let mark = clock.monotonic();
  return () => {
    const elapsed = clock.monotonic();
    // Fractions are kept, or a clock that is read often would stand still.
    wall = Math.max(clock.now(), wall + (elapsed - mark));
    mark = elapsed;
    return Math.floor(wall);
  };
}
