import type { Surface } from '../pdp/access-request.ts';
import { type Refusal, refuse } from '../pdp/decision.ts';
import type { Admission } from './admission.ts';

/** Calls under way, counted over all services, how many there may be, and which of those that come are turned away. */
export class InFlight {
  readonly max: number;
  /** Absent: calls are turned away by their number only. */
  readonly admission: Admission | undefined;
  readonly #full: Refusal;
  readonly #late = refuse('overloaded', 'calls wait too long before they can be begun');
  readonly #turnedAway = new Map<Surface, number>();
  #count = 0;
  /** What each call is counted by; one for all, for they are many. */
  readonly #call: Disposable = { [Symbol.dispose]: () => void (this.#count -= 1) };

  constructor(max: number, admission?: Admission) {
    this.max = max;
    this.admission = admission;
    this.#full = refuse('overloaded', `more than ${max} calls under way`);
  }

  /** Calls under way. */
  get count(): number {
    return this.#count;
  }

  /** Calls that were turned away since the start. */
  get turnedAway(): ReadonlyMap<Surface, number> {
    return this.#turnedAway;
  }

  /** Why a call that has come on `surface`, and is not counted yet, is turned away (always the same object for the same reason). Ask once for each. */
  refusal(surface: Surface): Refusal | undefined {
    const refusal = this.#refusal();
    if (refusal) this.#turnedAway.set(surface, (this.#turnedAway.get(surface) ?? 0) + 1);
    return refusal;
  }

  /** Counts a call until what it returns is disposed, which is to be done once. */
  enter(): Disposable {
    this.#count += 1;
    return this.#call;
  }

  #refusal(): Refusal | undefined {
    // Also where there are too many under way: what is asked is how long this one has waited.
    const admitted = this.admission?.admits() ?? true;
    if (this.#count >= this.max) return this.#full;
    return admitted ? undefined : this.#late;
  }
}
