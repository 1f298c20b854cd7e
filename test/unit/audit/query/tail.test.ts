import { appendFileSync, readdirSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { describe, expect, it, onTestFinished } from 'vitest';
import { parseFilter } from '../../../../src/audit/query/filter.ts';
import { follow, lastRecords } from '../../../../src/audit/query/tail.ts';
import { segmentName } from '../../../../src/audit/log/segments.ts';
import { compressFile } from '../../../../src/audit/seal/compress-file.ts';
import { NODE_SEAL_FS } from '../../../../src/audit/seal/seal-fs.ts';
import { openDecisionLog } from '../../../support/decision-log.ts';
import { eventually } from '../../../support/eventually.ts';
import { tempDir } from '../log-fixture.ts';

const ALL = parseFilter([]);

/** Follows a log from its present end on, in the background. */
async function following(dir: string) {
  const controller = new AbortController();
  const { position } = await lastRecords(dir, 0, ALL);
  const seen: unknown[] = [];
  const problems: string[] = [];
  const options = { dir, position, signal: controller.signal, pauseMs: 1 };
  const done = (async () => {
    for await (const { line, record } of follow({
      ...options,
      onProblem: (text) => void problems.push(text),
    })) {
      expect(JSON.parse(line.toString())).toEqual(record);
      seen.push(record['index']);
    }
  })();
  const stop = async () => {
    controller.abort();
    await done;
  };
  onTestFinished(stop);
  const until = async (count: number) =>
    await eventually(`${count} records, not ${seen.length}`, () => (seen.length >= count ? true : undefined));
  return { seen, problems, until, stop };
}

const line = (index: number, more = '') =>
  `{"v":1,"kind":"decision","log":"x","index":${index},"pad":"${more}"}\n`;

/** A log whose writer is the test. */
function byHand(): { dir: string; path: (first: number) => string } {
  const dir = tempDir();
  const path = (first: number) => join(dir, segmentName(first));
  writeFileSync(path(0), line(0));
  return { dir, path };
}

function upTo(count: number, from = 0): number[] {
  return Array.from({ length: count }, (_, at) => from + at);
}

describe('the last records', () => {
  it('are those that the filter chooses, over segments, in order', async () => {
    const dir = tempDir();
    await using log = await openDecisionLog(dir);
    for (const user of ['alice', 'carol', 'bob']) {
      await log.ask({ user });
      log.writer.rotate();
    }
    const indexes = async (count: number, ...filter: string[]) =>
      (await lastRecords(dir, count, parseFilter(filter))).records.map(({ record }) => record['index']);
    expect(await indexes(2)).toEqual([2, 3]);
    expect(await indexes(99)).toEqual([0, 1, 2, 3]);
    expect(await indexes(1, 'user~carol')).toEqual([2]);
    expect(await indexes(5, 'decision=ALLOW')).toEqual([1, 3]);
    expect(await indexes(0)).toEqual([]);
  });

  it('do not hold half a line, nor more than were asked for of a large segment', async () => {
    const { dir, path } = byHand();
    writeFileSync(
      path(0),
      upTo(5000)
        .map((index) => line(index))
        .join('') + '{"v":1,"ki',
    );
    const { records, position } = await lastRecords(dir, 3, ALL);
    expect(records.map(({ record }) => record['index'])).toEqual([4997, 4998, 4999]);
    expect(position).toMatchObject({ segment: 0, lines: 5000 });
  });

  it('of no log are bad input', async () => {
    await expect(lastRecords(join(tempDir(), 'none'), 1, ALL)).rejects.toThrow(
      'there is no decision log to read',
    );
  });
});

describe('following', () => {
  it('gives each record of a live writer once, across rotation and compression', async () => {
    const dir = tempDir();
    await using log = await openDecisionLog(dir, { log: { segmentBytes: 4000 } });
    const tail = await following(dir);
    for (let round = 0; round < 12; round++) {
      await Promise.all(
        ['alice', 'bob', 'carol'].map(async (user) => await log.ask({ user, path: `/reports/${round}` })),
      );
      if (round % 3 === 2) compressClosed(dir);
    }
    await tail.until(36);
    expect(readdirSync(dir).filter((name) => name.endsWith('.ndjson.gz')).length).toBeGreaterThan(2);
    expect(tail.seen).toEqual(upTo(36, 1));
    expect(tail.problems).toEqual([]);
  });

  it('waits for the other half of a line', async () => {
    const { dir, path } = byHand();
    const tail = await following(dir);
    const [begun, rest] = [line(2).slice(0, 12), line(2).slice(12)];
    appendFileSync(path(0), line(1) + begun);
    await tail.until(1);
    appendFileSync(path(0), rest + line(3));
    await tail.until(3);
    expect(tail.seen).toEqual([1, 2, 3]);
  });

  it('passes over half a line that a crash left at the end of a segment', async () => {
    const { dir, path } = byHand();
    const tail = await following(dir);
    appendFileSync(path(0), `${line(1)}{"v":1,"ki`);
    writeFileSync(path(2), line(2));
    await tail.until(2);
    expect(tail.seen).toEqual([1, 2]);
    expect(tail.problems).toEqual([]);
  });

  it('reads on in the compressed form of a segment that it had only begun', async () => {
    const { dir, path } = byHand();
    const { position } = await lastRecords(dir, 0, ALL);
    writeFileSync(`${path(0)}.gz`, gzipSync(line(0) + line(1) + line(2)));
    rmSync(path(0));
    writeFileSync(path(3), line(3));
    const controller = new AbortController();
    const seen: unknown[] = [];
    for await (const { record } of follow({
      dir,
      position,
      signal: controller.signal,
      onProblem: fail,
      pauseMs: 1,
    })) {
      seen.push(record['index']);
      if (seen.length === 3) controller.abort();
    }
    expect(seen).toEqual([1, 2, 3]);
  });

  it('says what was taken back, and gives what is written in its place', async () => {
    const { dir, path } = byHand();
    const tail = await following(dir);
    appendFileSync(path(0), line(1) + line(2));
    await tail.until(2);
    truncateSync(path(0), line(0).length + line(1).length);
    await eventually('a problem', () => (tail.problems.length > 0 ? true : undefined));
    appendFileSync(path(0), line(2, 'other'));
    await tail.until(3);
    expect(tail.seen).toEqual([1, 2, 2]);
    expect(tail.problems).toEqual(['the last 1 records were taken back: writing them failed']);
  });

  it('never gives half a line where other lines took the place of those taken back', async () => {
    const { dir, path } = byHand();
    appendFileSync(path(0), line(1) + line(2));
    const tail = await following(dir);
    writeFileSync(path(0), line(0) + line(1, 'longer than it was before, by far') + line(2) + line(3));
    await tail.until(1);
    expect(tail.seen).toEqual([3]);
    expect(tail.problems).toEqual([expect.stringContaining('others written in their place')]);
  });

  it('says what is missing where a segment went before it was read', async () => {
    const { dir, path } = byHand();
    const { position } = await lastRecords(dir, 0, ALL);
    rmSync(path(0));
    writeFileSync(path(10), line(10));
    const controller = new AbortController();
    const problems: string[] = [];
    const onProblem = (text: string) => void problems.push(text);
    for await (const { record } of follow({
      dir,
      position,
      signal: controller.signal,
      onProblem,
      pauseMs: 1,
    })) {
      expect(record['index']).toBe(10);
      controller.abort();
    }
    expect(problems).toEqual(['9 records are missing before the record 10']);
  });
});

function fail(problem: string): void {
  throw new Error(problem);
}

function compressClosed(dir: string): void {
  const closed = readdirSync(dir)
    .filter((name) => name.endsWith('.ndjson'))
    .sort()
    .slice(0, -1);
  for (const name of closed) for (const _step of compressFile(join(dir, name), NODE_SEAL_FS));
}
