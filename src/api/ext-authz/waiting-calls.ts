/** What can wait: its places in the list are its own. */
export interface Waiting<T> {
  /** Who came next before and after it; the list's alone to write. */
  before: T | undefined;
  after: T | undefined;
  isWaiting: boolean;
}

/**
 * Calls in the order in which they came, of which any may leave. Not a `Set`: where elements come and go, V8 replaces its small table all the time,
 * each refers to the next, and one that was promoted to the old generation keeps all later ones alive, and the streams in them (ADR 0030).
 */
export class WaitingCalls<T extends Waiting<T>> {
  #first: T | undefined;
  #last: T | undefined;

  /** Who waits for longest. */
  get first(): T | undefined {
    return this.#first;
  }

  /** Puts one at the end that is in no list. */
  add(call: T): void {
    call.isWaiting = true;
    call.before = this.#last;
    if (this.#last) this.#last.after = call;
    else this.#first = call;
    this.#last = call;
  }

  /** Takes one out. False where it does not wait any more. */
  delete(call: T): boolean {
    if (!call.isWaiting) return false;
    const { before, after } = call;
    if (before) before.after = after;
    else this.#first = after;
    if (after) after.before = before;
    else this.#last = before;
    call.isWaiting = false;
    // What is gone must not keep anything alive.
    call.before = undefined;
    call.after = undefined;
    return true;
  }
}
