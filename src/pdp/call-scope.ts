import { type Refusal, refuse } from './decision.ts';
import type { Asker, Clock } from './ports.ts';

/** Of the time of a check, what is kept for deciding when the facts are in, or given up: a fifth, and at most this many ms. */
const KEPT = 0.2;
const KEPT_MOST_MS = 100;

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
  readonly #factsUntil: number;
  #facts: AbortController | undefined;
  #factsTimer: NodeJS.Timeout | undefined;
  #asker: Asker | undefined;
  #factsExpired = false;
  #parts: Set<CallScope> | undefined;
  #whole: CallScope | undefined;
  #cancelled = false;
  #ended = false;
  /** The timer has spoken; it may do so a fraction of a millisecond before the clock says so. */
  #expired = false;

  /** `timeoutMs` from now: the lesser of the caller's remaining time and our own limit. */
  constructor(clock: Clock, timeoutMs: number) {
    this.#clock = clock;
    this.#deadline = clock.monotonic() + timeoutMs;
    this.#factsUntil = this.#deadline - Math.min(timeoutMs * KEPT, KEPT_MOST_MS);
  }

  /** The caller has gone. Calls that are answered are told so too, when nobody waits any more: then it means nothing. */
  cancel(): void {
    if (this.#ended) return;
    this.#cancelled = true;
    this.#controller?.abort(new Error('cancelled'));
    this.#facts?.abort(new Error('cancelled'));
    for (const part of this.#parts ?? []) part.cancel();
  }

  /** The scope of one question out of many that are asked by this call: it ends with the call, and has its own time for facts. */
  part(): CallScope {
    const part = new CallScope(this.#clock, this.#deadline - this.#clock.monotonic());
    if (this.#cancelled) part.cancel();
    part.#whole = this;
    (this.#parts ??= new Set()).add(part);
    return part;
  }

  /** Whether facts that were waited for did not come in the time that there was for them. */
  get factsWereLate(): boolean {
    return this.#factsExpired;
  }

  /** The reason to stop now, if there is one. */
  interruption(): Refusal | undefined {
    if (this.#cancelled) return refuse('cancelled', 'the caller cancelled the check');
    if (this.#expired || this.#clock.monotonic() >= this.#deadline)
      return refuse('deadline_exceeded', 'the check ran out of time');
    return undefined;
  }

  /** Aborts on deadline, the reason then being a `TimeoutError`, or on cancellation. */
  get signal(): AbortSignal {
    if (!this.#controller) {
      const controller = new AbortController();
      this.#controller = controller;
      if (this.#cancelled) controller.abort(new Error('cancelled'));
      const remaining = Math.max(0, this.#deadline - this.#clock.monotonic());
      this.#timer = setTimeout(() => {
        this.#expired = true;
        controller.abort(new DOMException('deadline exceeded', 'TimeoutError'));
      }, remaining);
    }
    return this.#controller.signal;
  }

  /** Who waits for facts: until so long before the deadline that what it means that there are none can still be done. */
  get facts(): Asker {
    return (this.#asker ??= new FactsAsker(() => this.#factsSignal()));
  }

  #factsSignal(): AbortSignal {
    if (!this.#facts) {
      const controller = new AbortController();
      this.#facts = controller;
      if (this.#cancelled) controller.abort(new Error('cancelled'));
      const remaining = Math.max(0, this.#factsUntil - this.#clock.monotonic());
      const message = 'did not answer in the time that the check has for it';
      this.#factsTimer = setTimeout(() => {
        this.#factsExpired = true;
        controller.abort(new DOMException(message, 'TimeoutError'));
      }, remaining);
    }
    return this.#facts.signal;
  }

  [Symbol.dispose](): void {
    this.#ended = true;
    if (this.#whole) this.#whole.#parts?.delete(this);
    clearTimeout(this.#factsTimer);
    clearTimeout(this.#timer);
  }
}

/** Makes the signal when it is read. */
class FactsAsker implements Asker {
  readonly #signalOf: () => AbortSignal;

  constructor(signalOf: () => AbortSignal) {
    this.#signalOf = signalOf;
  }

  get signal(): AbortSignal {
    return this.#signalOf();
  }
}
