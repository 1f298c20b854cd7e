import { describe, expect, test } from 'vitest';
import { createLimiter } from '../../../src/pip/limiter.ts';

describe('a limiter', () => {
  test('runs so many at once, lets so many wait, first come first served, and turns the rest away', async () => {
    const limiter = createLimiter(2, 3);
    const doors = Array.from({ length: 8 }, () => Promise.withResolvers<void>());
    const started: number[] = [];
    const answers = doors.map(({ promise }, index) =>
      limiter.run(async () => {
        started.push(index);
        await promise;
        return index;
      }),
    );
    expect(await Promise.all(answers.slice(5))).toEqual(['full', 'full', 'full']);
    expect(started).toEqual([0, 1]);
    doors[1]?.resolve();
    await answers[1];
    expect(started).toEqual([0, 1, 2]);
    for (const { resolve } of doors) resolve();
    expect(await Promise.all(answers.slice(0, 5))).toEqual([0, 1, 2, 3, 4]);
    expect(started).toEqual([0, 1, 2, 3, 4]);
  });

  test('has its room back after work that failed', async () => {
    const limiter = createLimiter(1, 0);
    for (let round = 0; round < 3; round++)
      await expect(limiter.run(() => Promise.reject(new Error('no')))).rejects.toThrow('no');
    expect(await limiter.run(async () => 'yes')).toBe('yes');
  });
});
