/** A parser with a fault that random inputs do not meet: only who follows the coverage finds it, one condition after the other. */
export function plantedParser(input: Uint8Array): string {
  if (rangeOf(input[0]) !== 12) return 'none';
  if (rangeOf(input[1]) !== 3) return 'one';
  if (rangeOf(input[2]) !== 29) return 'two';
  if (rangeOf(input[3]) !== 7) return 'three';
  if (rangeOf(input[4]) !== 18) return 'four';
  throw new RangeError('the planted fault');
}

/** Which of 32 ranges of values a byte is in. */
function rangeOf(byte = 0): number {
  return byte >> 3;
}
