/** Calls under way, counted over all gRPC services, and how many there may be. */
export class InFlight {
  readonly max: number;
  #count = 0;
  /** What each call is counted by; one for all, for they are many. */
  readonly #call: Disposable = { [Symbol.dispose]: () => void (this.#count -= 1) };

  constructor(max: number) {
    this.max = max;
  }

  /** Calls under way. */
  get count(): number {
    return this.#count;
  }

  /** Whether more are under way than there may be. */
  get exceeded(): boolean {
    return this.#count > this.max;
  }

  /** Counts a call until what it returns is disposed, which is to be done once. */
  enter(): Disposable {
    this.#count += 1;
    return this.#call;
  }
}
