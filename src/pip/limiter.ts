/** Work that is let in only while there is room for it. */
export interface Limiter {
  /** Runs `work` when there is room; `full` where too many wait already. */
  run<T>(work: () => Promise<T>): Promise<T | 'full'>;
}

/** Checks of signatures that wait for one limiter. */
const WAITING_CHECKS = 256;

/**
 * Makes a limiter for the checks of signatures, which anybody can have us do: at most `running` at once, 256 more in line. The pool of the
 * runtime has four threads for those of all.
 */
export function createSignatureLimiter(running = 4): Limiter {
  return createLimiter(running, WAITING_CHECKS);
}

/** Makes a limiter: at most `running` at once, at most `waiting` more in line, first come first served. */
export function createLimiter(running: number, waiting: number): Limiter {
  let free = running;
  const line: (() => void)[] = [];
  const leave = (): void => {
    const next = line.shift();
    if (next) next();
    else free += 1;
  };
  return {
    async run(work) {
      if (free > 0) free -= 1;
      else if (line.length >= waiting) return 'full';
      else await new Promise<void>((resolve) => line.push(resolve));
      try {
        return await work();
      } finally {
        leave();
      }
    },
  };
}
