import { mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, onTestFinished, test } from 'vitest';
import type { Committed } from '../../../../src/audit/log/commit-position.ts';
import { segmentName } from '../../../../src/audit/log/segments.ts';
import { LogTail } from '../../../../src/audit/sinks/log-tail.ts';

function folder(): string {
  const dir = mkdtempSync(join(tmpdir(), 'pdp-tail-'));
  onTestFinished(() => rmSync(dir, { recursive: true, force: true, maxRetries: 20 }));
  return dir;
}

/** A log of segments of so many lines each, the last of which is open. */
class WrittenLog {
  readonly dir: string;
  readonly lines: string[] = [];
  committed: Committed = { segment: -1, lineBytes: 0, packBytes: 0, nextIndex: 0 };
  readonly segments: number[] = [];

  constructor(dir = folder()) {
    this.dir = dir;
  }

  segment(texts: readonly string[], tail = ''): void {
    const first = this.lines.length;
    const lines = texts.map((text, at) => JSON.stringify({ index: first + at, text }));
    const bytes = Buffer.from(lines.map((line) => `${line}\n`).join(''));
    writeFileSync(join(this.dir, segmentName(first)), Buffer.concat([bytes, Buffer.from(tail)]));
    this.segments.push(first);
    this.lines.push(...lines);
    this.committed = { segment: first, lineBytes: bytes.length, packBytes: 0, nextIndex: this.lines.length };
  }

  compress(first: number): void {
    const path = join(this.dir, segmentName(first));
    writeFileSync(`${path}.draft`, gzipSync(readFileSync(path)));
    renameSync(`${path}.draft`, `${path}.gz`);
    rmSync(path);
  }

  remove(first: number): void {
    rmSync(join(this.dir, segmentName(first)));
  }
}

const LIMITS = { maxRecords: 100, maxBytes: 1_000_000 };

async function takeAll(tail: LogTail, from: number, to: number, limits = LIMITS) {
  const lines: string[] = [];
  const lost: [number, number][] = [];
  for (let next = from; next < to;) {
    const taken = await tail.take(next, limits);
    if (taken.lost) {
      lost.push([taken.lost.first, taken.lost.last]);
      next = taken.lost.last + 1;
      continue;
    }
    if (taken.lines.length === 0) break;
    expect(taken.lines.map(({ index }) => index)).toEqual(taken.lines.map((_, at) => next + at));
    lines.push(...taken.lines.map(({ bytes }) => bytes.toString()));
    next += taken.lines.length;
  }
  return { lines, lost };
}

describe('the tail of a log', () => {
  test('gives exactly the final lines from any index on, whatever the segments, their form and the limits', async () => {
    const property = fc.asyncProperty(
      fc.array(fc.array(fc.string({ maxLength: 300 }), { minLength: 1, maxLength: 12 }), {
        minLength: 1,
        maxLength: 5,
      }),
      fc.nat(),
      fc.nat(),
      fc.record({ maxRecords: fc.integer({ min: 1, max: 20 }), maxBytes: fc.integer({ min: 1, max: 2000 }) }),
      async (segments, start, compressed, limits) => {
        const dir = mkdtempSync(join(tmpdir(), 'pdp-tail-'));
        const log = new WrittenLog(dir);
        for (const texts of segments) log.segment(texts, 'half a li');
        for (const [at, first] of log.segments.slice(0, -1).entries())
          if ((compressed >> at) % 2 === 1) log.compress(first);
        const from = start % log.lines.length;
        await using tail = new LogTail(dir, () => log.committed);
        const { lines, lost } = await takeAll(tail, from, log.lines.length, limits);
        rmSync(dir, { recursive: true });
        expect(lines).toEqual(log.lines.slice(from));
        expect(lost).toEqual([]);
      },
    );
    await fc.assert(property, { numRuns: 150 });
  });

  test('keeps to its limits, except for a single line that is longer', async () => {
    const log = new WrittenLog();
    log.segment(['a', 'b'.repeat(500), 'c', 'd', 'e']);
    await using tail = new LogTail(log.dir, () => log.committed);
    const sizes = async (limits: typeof LIMITS, from: number) => (await tail.take(from, limits)).lines.length;
    expect(await sizes({ maxRecords: 10, maxBytes: 100 }, 0)).toBe(1);
    expect(await sizes({ maxRecords: 10, maxBytes: 100 }, 1)).toBe(1);
    expect(await sizes({ maxRecords: 2, maxBytes: 100 }, 2)).toBe(2);
    expect(await sizes({ maxRecords: 10, maxBytes: 100 }, 4)).toBe(1);
    expect(await sizes({ maxRecords: 10, maxBytes: 100 }, 5)).toBe(0);
  });

  test('gives nothing that is not final yet, and goes on when it is', async () => {
    const log = new WrittenLog();
    log.segment(['a', 'b', 'c']);
    const whole = log.committed;
    const [line = ''] = log.lines;
    log.committed = { ...whole, lineBytes: line.length + 1, nextIndex: 1 };
    await using tail = new LogTail(log.dir, () => log.committed);
    expect((await tail.take(0, LIMITS)).lines.length).toBe(1);
    expect((await tail.take(1, LIMITS)).lines).toEqual([]);
    log.committed = whole;
    expect((await tail.take(1, LIMITS)).lines.length).toBe(2);
  });

  test('goes on from the segment in use into the ones after it', async () => {
    const log = new WrittenLog();
    log.segment(['a', 'b']);
    await using tail = new LogTail(log.dir, () => log.committed);
    expect((await tail.take(0, LIMITS)).lines.length).toBe(2);
    log.segment(['c']);
    log.segment(['d']);
    expect((await takeAll(tail, 2, 4)).lines).toEqual(log.lines.slice(2));
  });

  test('reads on in a segment that is compressed or removed in the middle', async () => {
    const log = new WrittenLog();
    log.segment(['a', 'b', 'c']);
    log.segment(['d']);
    await using tail = new LogTail(log.dir, () => log.committed);
    expect((await tail.take(0, { ...LIMITS, maxRecords: 1 })).lines.length).toBe(1);
    log.compress(0);
    expect((await tail.take(1, { ...LIMITS, maxRecords: 1 })).lines.length).toBe(1);
    rmSync(join(log.dir, `${segmentName(0)}.gz`));
    expect(await takeAll(tail, 2, 4)).toEqual({ lines: log.lines.slice(2), lost: [] });
  });

  test('names what is missing at the beginning and in the middle, and goes on after it', async () => {
    const log = new WrittenLog();
    for (const texts of [['a', 'b'], ['c'], ['d', 'e'], ['f', 'g'], ['h']]) log.segment(texts);
    log.remove(0);
    log.remove(2);
    log.remove(5);
    await using tail = new LogTail(log.dir, () => log.committed);
    const { lines, lost } = await takeAll(tail, 1, 8);
    expect(lines).toEqual([log.lines[3], log.lines[4], log.lines[7]]);
    expect(lost).toEqual([
      [1, 2],
      [5, 6],
    ]);
  });

  test('leaves out what a failed write left at the end of a closed segment', async () => {
    const log = new WrittenLog();
    log.segment(['a'], '{"index":1,"text":"never happened"}\n');
    log.segment(['b']);
    await using tail = new LogTail(log.dir, () => log.committed);
    expect((await takeAll(tail, 0, 2)).lines).toEqual(log.lines);
  });

  test('can be asked again after it failed', async () => {
    const log = new WrittenLog();
    log.segment(['a', 'b']);
    log.segment(['c']);
    const path = join(log.dir, segmentName(0));
    const good = gzipSync(readFileSync(path));
    rmSync(path);
    writeFileSync(`${path}.gz`, good.subarray(0, 12));
    await using tail = new LogTail(log.dir, () => log.committed);
    await expect(tail.take(0, LIMITS)).rejects.toThrow();
    writeFileSync(`${path}.gz`, good);
    expect((await takeAll(tail, 0, 3)).lines).toEqual(log.lines);
  });
});
