const FIRST_MS = 100;
const LONGEST_MS = 10_000;

/** A worker that served for so long has not failed at its start. */
const SETTLED_MS = 30_000;

/** How long to wait before a worker that ended is started again: twice as long each time, until it serves for half a minute. */
export class RestartPause {
  #failures = 0;

  /** Ms to wait now, after a run that served for `servedMs`. */
  next(servedMs: number): number {
    if (servedMs >= SETTLED_MS) this.#failures = 0;
    const pause = Math.min(LONGEST_MS, FIRST_MS * 2 ** this.#failures);
    this.#failures += 1;
    return pause;
  }
}
