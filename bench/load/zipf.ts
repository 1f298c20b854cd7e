/** A source of numbers from 0 to 1, the same for the same seed (mulberry32): runs ask for the same things in the same order. */
export function seeded(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Draws ranks from 0 to `count` - 1, rank r with a weight of 1 / (r + 1) ** `exponent` (Zipf). */
export function zipf(count: number, exponent: number, random: () => number): () => number {
  if (!Number.isInteger(count) || count < 1) throw new TypeError('zipf needs at least one rank');
  const sums = new Float64Array(count);
  let total = 0;
  for (let rank = 0; rank < count; rank++) sums[rank] = total += (rank + 1) ** -exponent;
  return () => firstAbove(sums, random() * total);
}

/** Index of the first of the ascending `sums` that is more than `value`. */
function firstAbove(sums: Float64Array, value: number): number {
  let [low, high] = [0, sums.length - 1];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((sums[middle] ?? 0) > value) high = middle;
    else low = middle + 1;
  }
  return low;
}
