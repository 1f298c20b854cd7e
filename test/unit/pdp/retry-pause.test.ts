import { describe, expect, test } from 'vitest';
import { pauseMs } from '../../../src/pdp/retry-pause.ts';

describe('pause before the next try', () => {
  const pause = (most: number, failures: number, random: number) =>
    pauseMs(1000, most, failures, () => random);

  test('is shorter than usual after a failure, and ever longer with each more', () => {
    expect([0, 1, 2, 3, 4, 30, 5000].map((failures) => pause(60_000, failures, 0))).toEqual([
      60_000, 1000, 2000, 4000, 8000, 60_000, 60_000,
    ]);
  });

  test('is never longer than usual', () => {
    expect(pause(500, 1, 0)).toBe(500);
  });

  test('is up to a fifth shorter, so that replicas do not come all at once', () => {
    expect(pause(60_000, 0, 1)).toBe(48_000);
    expect(pause(60_000, 1, 1)).toBe(800);
  });
});
