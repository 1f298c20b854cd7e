const FIELDS = 5;

/** How a sink stands. */
export interface SinkReport {
  readonly name: string;
  /** Records that are in the log and were not delivered yet. */
  readonly lag: number;
  /** Records confirmed by the receiver, in this run. */
  readonly delivered: number;
  /** Deliveries that failed, in this run. */
  readonly failures: number;
  /** Records that were removed before they could be delivered, in this run. */
  readonly lost: number;
  /** Records of which the receiver got only a stub, in this run. */
  readonly oversized: number;
}

/** Figures of all sinks in memory that threads share: the thread of the sinks writes, others read. */
export class SinkFigures {
  /** To hand to another thread, which makes its own `SinkFigures` of it. */
  readonly buffer: SharedArrayBuffer;
  readonly #names: readonly string[];
  readonly #values: BigInt64Array;

  constructor(names: readonly string[], buffer = new SharedArrayBuffer(names.length * FIELDS * 8)) {
    this.buffer = buffer;
    this.#names = names;
    this.#values = new BigInt64Array(buffer);
  }

  /** Where one sink tells its figures. */
  of(name: string): SinkFigure {
    const at = this.#names.indexOf(name) * FIELDS;
    return {
      next: (index) => void Atomics.store(this.#values, at, BigInt(index)),
      delivered: (count) => void Atomics.add(this.#values, at + 1, BigInt(count)),
      failed: () => void Atomics.add(this.#values, at + 2, 1n),
      lost: (count) => void Atomics.add(this.#values, at + 3, BigInt(count)),
      oversized: () => void Atomics.add(this.#values, at + 4, 1n),
    };
  }

  /** How every sink stands with a log whose next record gets `nextIndex`. */
  report(nextIndex: number): readonly SinkReport[] {
    return this.#names.map((name, sink) => {
      const value = (field: number) => Number(Atomics.load(this.#values, sink * FIELDS + field));
      const lag = Math.max(0, nextIndex - value(0));
      return { name, lag, delivered: value(1), failures: value(2), lost: value(3), oversized: value(4) };
    });
  }
}

/** What one sink tells of itself. */
export interface SinkFigure {
  /** Index of the next record to deliver. */
  next(index: number): void;
  delivered(count: number): void;
  failed(): void;
  lost(count: number): void;
  oversized(): void;
}
