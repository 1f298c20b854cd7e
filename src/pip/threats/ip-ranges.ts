import type { IpRange, IpWords } from './ip-text.ts';
import type { Slices } from './slices.ts';

/** Ranges of addresses of one family: sorted, without overlaps, in typed arrays. */
export interface IpRanges {
  /** Bytes of memory that they take. */
  readonly bytes: number;
  has(address: IpWords): boolean;
}

const DIGITS = 0x10000;
/** Steps between looks at the clock. */
const CHUNK = 0x1000;

/** Collects ranges of the family whose addresses have `width` words, and makes {@link IpRanges} of them. */
export class IpRangesBuilder {
  readonly #width: number;
  #count = 0;
  /** `width` words for each range. */
  #first: Uint32Array;
  #last: Uint32Array;

  constructor(width: 1 | 4) {
    this.#width = width;
    this.#first = new Uint32Array(width * 64);
    this.#last = new Uint32Array(width * 64);
  }

  add({ first, last }: IpRange): void {
    const at = this.#count * this.#width;
    if (at === this.#first.length) {
      this.#first = doubled(this.#first);
      this.#last = doubled(this.#last);
    }
    this.#first.set(first, at);
    this.#last.set(last, at);
    this.#count += 1;
  }

  /** Sorts and merges, resting between slices. */
  async build(slices: Slices): Promise<IpRanges> {
    const order = await this.#sorted(slices);
    const first = new Uint32Array(order.length * this.#width);
    const last = new Uint32Array(order.length * this.#width);
    let merged = 0;
    for (const [step, index] of order.entries()) {
      if (step % CHUNK === 0) await slices.rest();
      const begin = this.#words(this.#first, index);
      const end = this.#words(this.#last, index);
      const before = (merged - 1) * this.#width;
      if (merged > 0 && compareAt(last, before, begin) >= 0) {
        if (compareAt(last, before, end) < 0) last.set(end, before);
        continue;
      }
      first.set(begin, merged * this.#width);
      last.set(end, merged * this.#width);
      merged += 1;
    }
    const used = merged * this.#width;
    return rangesOf(first.slice(0, used), last.slice(0, used), this.#width);
  }

  #words(from: Uint32Array, index: number): Uint32Array {
    return from.subarray(index * this.#width, (index + 1) * this.#width);
  }

  /** The indices of the ranges by their first address: a radix sort, whose passes can be cut into slices where `sort` cannot. */
  async #sorted(slices: Slices): Promise<Uint32Array> {
    let order = new Uint32Array(this.#count);
    await inChunks(order.length, slices, (at) => {
      order[at] = at;
    });
    for (let digit = this.#width * 2 - 1; digit >= 0; digit -= 1) {
      const shift = digit % 2 === 0 ? 16 : 0;
      const word = digit >> 1;
      const digitOf = (index: number): number =>
        ((this.#first[index * this.#width + word] ?? 0) >>> shift) % DIGITS;
      order = await sortedBy(order, digitOf, slices);
    }
    return order;
  }
}

async function sortedBy(
  order: Uint32Array<ArrayBuffer>,
  digitOf: (index: number) => number,
  slices: Slices,
): Promise<Uint32Array<ArrayBuffer>> {
  const starts = new Uint32Array(DIGITS + 1);
  await inChunks(order.length, slices, (at) => {
    const next = digitOf(order[at] ?? 0) + 1;
    starts[next] = (starts[next] ?? 0) + 1;
  });
  for (let digit = 1; digit <= DIGITS; digit += 1)
    starts[digit] = (starts[digit] ?? 0) + (starts[digit - 1] ?? 0);
  const sorted = new Uint32Array(order.length);
  await inChunks(order.length, slices, (at) => {
    const index = order[at] ?? 0;
    const digit = digitOf(index);
    const place = starts[digit] ?? 0;
    starts[digit] = place + 1;
    sorted[place] = index;
  });
  return sorted;
}

async function inChunks(count: number, slices: Slices, step: (at: number) => void): Promise<void> {
  for (let from = 0; from < count; from += CHUNK) {
    await slices.rest();
    const to = Math.min(count, from + CHUNK);
    for (let at = from; at < to; at += 1) step(at);
  }
}

function doubled(array: Uint32Array): Uint32Array {
  const larger = new Uint32Array(array.length * 2);
  larger.set(array);
  return larger;
}

function rangesOf(first: Uint32Array, last: Uint32Array, width: number): IpRanges {
  return {
    bytes: first.byteLength + last.byteLength,
    has(address) {
      let low = 0;
      let high = first.length / width;
      // Ends with `low` as the number of ranges that begin at the address or before it.
      while (low < high) {
        const middle = (low + high) >>> 1;
        if (compareAt(first, middle * width, address) <= 0) low = middle + 1;
        else high = middle;
      }
      return low > 0 && compareAt(last, (low - 1) * width, address) >= 0;
    },
  };
}

/** Compares the words of `array` that begin at `at` with an address of the same family. */
function compareAt(array: Uint32Array, at: number, address: IpWords | Uint32Array): number {
  let index = 0;
  while (index < address.length - 1 && array[at + index] === address[index]) index += 1;
  return (array[at + index] ?? 0) - (address[index] ?? 0);
}
