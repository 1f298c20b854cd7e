/**
 * Tells what comes again from what comes once, roughly and in constant memory: a table of marks, each overwritten by the next key of its slot.
 * Two keys that share slot and mark are taken for one (one in four billion at a slot), and one whose slot was overwritten is new again.
 */
export class Doorkeeper {
  readonly #marks: Uint32Array;

  /** Of the last `keys` that came it knows most; takes 8 to 16 bytes for each. */
  constructor(keys: number) {
    this.#marks = new Uint32Array(2 ** Math.ceil(Math.log2(Math.max(SLOTS_PER_KEY * keys, 1))));
  }

  /** Whether the key was noted lately; it is from now on. */
  knows(key: string): boolean {
    const mark = hashOf(key, FIRST);
    const slot = hashOf(key, SECOND) & (this.#marks.length - 1);
    const known = this.#marks[slot] === mark;
    this.#marks[slot] = mark;
    return known;
  }
}

/** So that few slots are overwritten before their key could come again. */
const SLOTS_PER_KEY = 2;

const FIRST = 0x811c9dc5;
const SECOND = 0x9e3779b9;

/** FNV-1a with a last mix, so that a slot depends on every character. Never 0, which stands for a slot without a mark. */
function hashOf(key: string, seed: number): number {
  let hash = seed;
  for (let at = 0; at < key.length; at++) hash = Math.imul(hash ^ key.charCodeAt(at), 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  return (hash ^ (hash >>> 13)) >>> 0 || 1;
}
