/** How far the files of a log are final: what is below is never taken back. */
export interface Committed {
  /** First index of the segment in use; -1: none yet. Every segment before it is closed and final as a whole. */
  readonly segment: number;
  /** Bytes of its lines. */
  readonly lineBytes: number;
  /** Bytes of its pack. */
  readonly packBytes: number;
  /** Index of the next record. */
  readonly nextIndex: number;
}

const FIELDS = 4;

/**
 * What the writing thread tells the others of its progress, in memory that they share: no message, no copy. One thread publishes; readers see
 * a whole state, old or new.
 */
export class CommitPosition {
  /** To hand to another thread, which makes its own `CommitPosition` of it. */
  readonly buffer: SharedArrayBuffer;
  readonly #sequence: Int32Array;
  readonly #values: BigInt64Array;

  constructor(buffer = new SharedArrayBuffer(8 + FIELDS * 8)) {
    this.buffer = buffer;
    this.#sequence = new Int32Array(buffer, 0, 1);
    this.#values = new BigInt64Array(buffer, 8, FIELDS);
  }

  /** Tells how far the files are final. */
  publish({ segment, lineBytes, packBytes, nextIndex }: Committed): void {
    // Odd while a state is being written.
    Atomics.add(this.#sequence, 0, 1);
    Atomics.store(this.#values, 0, BigInt(segment));
    Atomics.store(this.#values, 1, BigInt(lineBytes));
    Atomics.store(this.#values, 2, BigInt(packBytes));
    Atomics.store(this.#values, 3, BigInt(nextIndex));
    Atomics.add(this.#sequence, 0, 1);
  }

  /** The newest whole state. */
  read(): Committed {
    for (;;) {
      const before = Atomics.load(this.#sequence, 0);
      const [segment, lineBytes, packBytes, nextIndex] = [0, 1, 2, 3].map((field) =>
        Number(Atomics.load(this.#values, field)),
      ) as [number, number, number, number];
      if (before % 2 === 0 && Atomics.load(this.#sequence, 0) === before)
        return { segment, lineBytes, packBytes, nextIndex };
    }
  }
}
