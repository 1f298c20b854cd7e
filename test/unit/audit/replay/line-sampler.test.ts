import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type LineRange, sampleLines } from '../../../../src/audit/replay/line-sampler.ts';
import { portion } from '../../../../src/audit/replay/self-replay-run.ts';
import { logFolder } from './fixture.ts';

/** A file with lines `0`, `1` …, each `padding` longer, and the range from `first` on. */
function file(dir: string, lines: number, { first = 0, padding = 0, compressed = false } = {}): LineRange {
  const path = join(dir, compressed ? 'lines.gz' : 'lines');
  const all = Array.from({ length: lines }, (_, n) => `${n}${'.'.repeat(padding)}\n`);
  const bytes = Buffer.from(all.join(''));
  writeFileSync(path, compressed ? gzipSync(bytes) : bytes);
  const start = all.slice(0, first).join('').length;
  return { path, compressed, before: first, count: lines - first, start };
}

const numbersOf = (lines: readonly Buffer[]): number[] =>
  lines.map((line) => Number.parseInt(String(line), 10));

describe('a sample of lines', () => {
  it.each([false, true])(
    'is of lines of the range, each once, and as many as were wanted (gzip: %s)',
    async (compressed) => {
      using folder = logFolder();
      await fc.assert(
        fc.asyncProperty(fc.nat(60), fc.nat(60), fc.nat(80), async (lines, before, count) => {
          const first = Math.min(before, lines);
          const range = file(folder.dir, lines, { first, compressed });
          const numbers = numbersOf(await sampleLines(range, count));
          expect(new Set(numbers).size).toBe(numbers.length);
          expect(numbers).toHaveLength(Math.min(count, lines - first));
          expect(numbers.every((number) => number >= first && number < lines)).toBe(true);
        }),
        { numRuns: 60 },
      );
    },
  );

  it('is of whole lines of a range that is too long to be read', async () => {
    using folder = logFolder();
    const range = file(folder.dir, 30_000, { first: 10_000, padding: 600 });
    const lines = await sampleLines(range, 200);
    expect(lines.length).toBeGreaterThan(150);
    expect(lines.length).toBeLessThanOrEqual(200);
    for (const line of lines) expect(String(line)).toMatch(/^\d+\.{600}$/);
    expect(numbersOf(lines).every((number) => number > 10_000)).toBe(true);
  });

  it('does not go behind the end of the range', async () => {
    using folder = logFolder();
    const range = file(folder.dir, 100);
    const end = readFileSync(range.path).indexOf('50\n');
    const numbers = numbersOf(await sampleLines({ ...range, end, count: 50 }, 100));
    expect(numbers).toHaveLength(50);
    expect(Math.max(...numbers)).toBe(49);
  });

  it('is nothing of nothing', async () => {
    using folder = logFolder();
    const range = file(folder.dir, 3);
    expect(await sampleLines(range, 0)).toEqual([]);
    expect(await sampleLines({ ...range, count: 0 }, 3)).toEqual([]);
  });
});

it('a share of a number is whole, and right in the mean', () => {
  const draws = Array.from({ length: 4000 }, () => portion(1, 0.25));
  expect(new Set(draws)).toEqual(new Set([0, 1]));
  const sum = draws.reduce((total, draw) => total + draw, 0);
  expect(sum).toBeGreaterThan(800);
  expect(sum).toBeLessThan(1200);
  expect([portion(10, 1), portion(10, 0), portion(0, 0.5)]).toEqual([10, 0, 0]);
});
