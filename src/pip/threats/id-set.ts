import { randomInt } from 'node:crypto';
import type { Slices } from './slices.ts';

/** A set of ids, packed: their bytes in pages, and a table of where they begin. */
export interface IdSet {
  /** Bytes of memory that it takes. */
  readonly bytes: number;
  has(id: string): boolean;
}

const CHUNK = 512;
const PAGE_BITS = 20;
const PAGE_BYTES = 2 ** PAGE_BITS;

/** Collects ids of at most 65 535 bytes each and 4 GiB in all, and makes an {@link IdSet} of them. */
export class IdSetBuilder {
  /** Pages, since one array that grows would be copied whole each time. No id crosses from one to the next. */
  readonly #pages: Buffer[] = [];
  /** Where each id begins, counted through all pages. */
  #starts = new Uint32Array(64);
  #sizes = new Uint16Array(64);
  #count = 0;
  #end = 0;

  add(id: string): void {
    const size = Buffer.byteLength(id);
    if (this.#end + size > this.#pages.length * PAGE_BYTES) {
      this.#end = this.#pages.length * PAGE_BYTES;
      this.#pages.push(Buffer.alloc(PAGE_BYTES));
    }
    if (this.#count === this.#starts.length) this.#grow();
    this.#starts[this.#count] = this.#end;
    this.#sizes[this.#count] = size;
    this.#pages.at(-1)?.write(id, this.#end % PAGE_BYTES);
    this.#count += 1;
    this.#end += size;
  }

  /** Builds the table, resting between slices. */
  async build(slices: Slices): Promise<IdSet> {
    const packed = this.#packed();
    const { starts, sizes, slots, pages } = packed;
    for (let index = 0; index < this.#count; index += 1) {
      if (index % CHUNK === 0) await slices.rest();
      const slot = slotOf(packed, bytesOf(packed, index));
      if (slots[slot] === 0) slots[slot] = index + 1;
    }
    const bytes = [...pages, starts, sizes, slots].reduce((sum, { byteLength }) => sum + byteLength, 0);
    return { bytes, has: (id) => slots[slotOf(packed, Buffer.from(id))] !== 0 };
  }

  #packed(): Packed {
    const last = this.#pages.pop()?.subarray(0, this.#end % PAGE_BYTES || PAGE_BYTES);
    return {
      pages: last === undefined ? [] : [...this.#pages, Buffer.from(last)],
      starts: this.#starts.slice(0, this.#count),
      sizes: this.#sizes.slice(0, this.#count),
      // At most two thirds full, so that a search ends after a few steps.
      slots: new Uint32Array(2 ** Math.ceil(Math.log2(Math.max(2, this.#count * 1.5)))),
      seed: randomInt(2 ** 32),
    };
  }

  #grow(): void {
    const starts = new Uint32Array(this.#count * 2);
    starts.set(this.#starts);
    this.#starts = starts;
    const sizes = new Uint16Array(this.#count * 2);
    sizes.set(this.#sizes);
    this.#sizes = sizes;
  }
}

interface Packed {
  readonly pages: readonly Buffer[];
  readonly starts: Uint32Array;
  readonly sizes: Uint16Array;
  /** Open addressing: 0 is free, else the index of an id and one. */
  readonly slots: Uint32Array;
  /** Of our own choice: whoever writes a list cannot tell which ids share a slot. */
  readonly seed: number;
}

/** The slot that holds the id, or the free one where it would go. */
function slotOf(packed: Packed, id: Buffer): number {
  const { slots, seed } = packed;
  let slot = hashOf(id, seed) & (slots.length - 1);
  for (;;) {
    const index = (slots[slot] ?? 0) - 1;
    if (index === -1 || (packed.sizes[index] === id.length && bytesOf(packed, index).equals(id))) return slot;
    slot = (slot + 1) & (slots.length - 1);
  }
}

function bytesOf({ pages, starts, sizes }: Packed, index: number): Buffer {
  const start = starts[index] ?? 0;
  const from = start % PAGE_BYTES;
  return (pages[start >>> PAGE_BITS] ?? NO_PAGE).subarray(from, from + (sizes[index] ?? 0));
}

const NO_PAGE = Buffer.alloc(0);

/** FNV-1a over the bytes, begun at the seed, and the finish of MurmurHash3, which spreads it over the low bits. */
function hashOf(bytes: Buffer, seed: number): number {
  let hash = (0x811c9dc5 ^ seed) >>> 0;
  for (const byte of bytes) hash = Math.imul(hash ^ byte, 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}
