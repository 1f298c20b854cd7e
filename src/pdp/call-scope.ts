import { type Refusal, refuse } from './decision.ts';
import type { Clock } from './ports.ts';

/**
 * How long one check may go on: the earlier of its deadline and its cancellation, as one AbortSignal.
 *
 * The signal is made only when somebody waits on it: most checks finish without waiting for anything.
 */
export class CallScope implements Disposable {
  readonly #clock: Clock;
  readonly #deadline: number;
  #controller: AbortController | undefined;
  #timer: NodeJS.Timeout | undefined;
  #cancelled = false;
  #ended = false;
  /** The timer has spoken; it may do so a fraction of a millisecond before the clock says so. */
  #expired = false;

  /** `timeoutMs` from now: the lesser of the caller's remaining time and our own limit. */
  constructor(clock: Clock, timeoutMs: number) {
    this.#clock = clock;
    this.#deadline = clock.monotonic() + timeoutMs;
  }

  /** The caller has gone. Calls that are answered are told so too, when nobody waits any more: then it means nothing. */
  cancel(): void {
    if (this.#ended) return;
    this.#cancelled = true;
    this.#controller?.abort(new Error('cancelled'));
  }

  /** The reason to stop now, if there is one. */
  interruption(): Refusal | undefined {
    if (this.#cancelled) return refuse('cancelled', 'the caller cancelled the check');
    if (this.#expired || this.#clock.monotonic() >= this.#deadline)
      return refuse('deadline_exceeded', 'the check ran out of time');
    return undefined;
  }

  /** Aborts on deadline or cancellation. */
  get signal(): AbortSignal {
    if (!this.#controller) {
      const controller = new AbortController();
      this.#controller = controller;
      if (this.#cancelled) controller.abort(new Error('cancelled'));
      const remaining = Math.max(0, this.#deadline - this.#clock.monotonic());
      this.#timer = setTimeout(() => {
        this.#expired = true;
        controller.abort(new Error('deadline exceeded'));
      }, remaining);
    }
    return this.#controller.signal;
  }

  [Symbol.dispose](): void {
    this.#ended = true;
    clearTimeout(this.#timer);
  }
}
