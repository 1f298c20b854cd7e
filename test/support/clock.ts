import type { Clock } from '../../src/pdp/ports.ts';

/** A clock that stands still until a test moves it. */
export interface ManualClock extends Clock {
  /** Lets `ms` pass, on the wall and on the monotonic clock. */
  advance(ms: number): void;
}

/** Starts a manual clock at `startMs` (Unix ms). */
export function createManualClock(startMs = Date.UTC(2026, 0, 1)): ManualClock {
  let passed = 0;
  return {
    now: () => startMs + passed,
    monotonic: () => 1000 + passed,
    advance(ms) {
      passed += ms;
    },
  };
}

/** The clock of this machine, for parts that meet real time on a wire. */
export const MACHINE_CLOCK: Clock = { now: () => Date.now(), monotonic: () => performance.now() };
