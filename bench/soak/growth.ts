/** What was seen at one moment of a soak. */
export interface Sample {
  /** Seconds since its begin. */
  readonly at: number;
  readonly requests: number;
  /** Answers per second since the sample before. */
  readonly rate: number;
  /** Microseconds. */
  readonly p50: number;
  readonly p99: number;
  readonly p999: number;
  /** Bytes. */
  readonly rss: number;
  readonly heap: number;
  readonly external: number;
  readonly denied: number;
  readonly failed: number;
}

/**
 * The largest value of the last third over the largest of the middle third: 1 where nothing grows once caches are full. Largest values,
 * as a collection may come at any moment; not the first third, in which caches fill. `undefined` for fewer than nine samples.
 */
export function growthOf(values: readonly number[]): number | undefined {
  if (values.length < 9) return undefined;
  const third = Math.floor(values.length / 3);
  const middle = Math.max(...values.slice(third, 2 * third));
  return Math.max(...values.slice(2 * third)) / middle;
}
