/**
 * Ms to the next try: `mostMs` while nothing fails, else `firstMs`, doubled with each failure after the first, up to `mostMs`. Less up
 * to a fifth (`random`: from 0 to 1), so that replicas spread out.
 */
export function pauseMs(
  firstMs: number,
  mostMs: number,
  failures: number,
  random: () => number = Math.random,
): number {
  const pause = failures === 0 ? mostMs : Math.min(mostMs, firstMs * 2 ** Math.min(failures - 1, 30));
  return pause * (1 - random() * 0.2);
}
