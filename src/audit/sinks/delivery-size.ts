/** Deliveries after which more is tried: one that is too large costs as much as one that is not. */
const STEADY = 8;

/** How many lines go out at once: halved where they are more than the receiver takes, doubled again up to what is configured. */
export class DeliverySize {
  readonly #most: number;
  #size: number;
  #deliveries = 0;

  constructor(most: number) {
    this.#most = most;
    this.#size = most;
  }

  get lines(): number {
    return this.#size;
  }

  /** So many lines were too large; false: one alone is. */
  tooLarge(lines: number): boolean {
    this.#size = Math.max(1, Math.floor(lines / 2));
    this.#deliveries = 0;
    return lines > 1;
  }

  delivered(): void {
    this.#deliveries += 1;
    if (this.#deliveries % STEADY === 0) this.#size = Math.min(this.#most, this.#size * 2);
  }
}
