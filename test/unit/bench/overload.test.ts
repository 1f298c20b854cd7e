import { describe, expect, it } from 'vitest';
import {
  type PhaseFigures,
  normalP99,
  overNormal,
  phaseFigures,
  recoverySeconds,
} from '../../../bench/overload/figures.ts';
import type { Window } from '../../../bench/overload/phases.ts';

const window = (accepted: readonly number[], shed: readonly number[] = [], other = 0): Window => ({
  at: 0,
  sent: accepted.length + shed.length + other,
  accepted: Float64Array.from(accepted),
  shed: Float64Array.from(shed),
  other,
});
const phase = (name: string, windows: readonly Window[]): PhaseFigures => phaseFigures(name, windows, 1);

describe('the p99 of accepted calls in an overload', () => {
  const without = phase('before', [window([4600])]);
  const during = phase('overload', [window([33_000], [9, 9])]);

  it('is held against the smallest that was normal, not against one that was slow already', () => {
    const slow = phase('before', [window([29_000], [1])]);
    expect(normalP99([slow, without])).toBe(4600);
    expect(overNormal(during, normalP99([slow, without]))).toBeCloseTo(7.17, 2);
    expect(overNormal(during, normalP99([phase('before', [window([20_000])])]))).toBeCloseTo(1.65, 2);
  });

  it('is as bad as can be where none was accepted, and no phase without calls is normal', () => {
    expect(overNormal(phase('overload', [window([], [1, 2])]), 4600)).toBe(Infinity);
    expect(overNormal(undefined, 4600)).toBe(Infinity);
    expect(normalP99([phase('before', [window([], [1])]), without])).toBe(4600);
  });
});

describe('the time to recover', () => {
  it('lasts until nothing is shed and the median is below the normal p99', () => {
    const [good, slow, shedding] = [window([1, 2, 3]), window([10, 20, 30]), window([1], [1])];
    expect(recoverySeconds([good, good], 100, 5)).toBe(0);
    expect(recoverySeconds([slow, shedding, good], 100, 5)).toBe(0.2);
    expect(recoverySeconds([good, slow], 100, 5)).toBe(Infinity);
    expect(recoverySeconds([good, window([], [], 2)], 100, 5)).toBe(Infinity);
  });
});
