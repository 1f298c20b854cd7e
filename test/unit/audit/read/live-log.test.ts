import { readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { httpStatusOf } from '../../../../src/api/status.ts';
import { Judge } from '../../../../src/audit/diff/judge.ts';
import { DiffWalk } from '../../../../src/audit/diff/walk.ts';
import { scanRecords } from '../../../../src/audit/query/scan.ts';
import { LiveSegments } from '../../../../src/audit/read/live-segments.ts';
import { type LogSegment, logSegments } from '../../../../src/audit/read/log-folder.ts';
import { segmentsWithin } from '../../../../src/audit/read/segments-within.ts';
import { replayLog } from '../../../../src/audit/replay/replay-log.ts';
import { SegmentReplay } from '../../../../src/audit/replay/replay-segment.ts';
import { compressFile } from '../../../../src/audit/seal/compress-file.ts';
import { NODE_SEAL_FS } from '../../../../src/audit/seal/seal-fs.ts';
import { engineName } from '../../../../src/pdp/cedar-module.ts';
import { REPORT_POLICIES, openDecisionLog } from '../../../support/decision-log.ts';
import { snapshotWith } from '../diff/fixture.ts';
import { tempDir } from '../log-fixture.ts';

const PARTS = { httpStatus: httpStatusOf, engine: engineName() };

/** Three segments with two decisions each; those of the later ones reuse answers of the first. */
async function aLog(): Promise<string> {
  const dir = tempDir();
  await using log = await openDecisionLog(dir);
  for (let i = 0; i < 3; i++) {
    await log.ask({ user: 'alice' });
    await log.ask({ user: 'carol' });
    log.writer.rotate();
  }
  return dir;
}

/** The sealer, at the worst moment. */
function compressAll(dir: string): void {
  for (const name of readdirSync(dir).filter((name) => /^segment-.*(?:ndjson|blobs)$/.test(name)))
    for (const _step of compressFile(join(dir, name), NODE_SEAL_FS));
}

/** Retention, at the worst moment. */
function removeFirst(dir: string): void {
  const [first] = logSegments(dir);
  for (const path of [first?.path, first?.pack?.path]) rmSync(path ?? '');
}

/** What replay says of a segment of a listing that may be old. */
async function replayed(segments: readonly LogSegment[], at: number): Promise<readonly string[]> {
  const verdicts: string[] = [];
  const replay = new SegmentReplay({ ...PARTS, memo: 0 }, (_record, verdict) =>
    verdicts.push('why' in verdict ? verdict.why : verdict.verdict),
  );
  await replay.segment(segments, at);
  return verdicts;
}

/** The same of a comparison with the policies that were in force. */
async function compared(segments: readonly LogSegment[], at: number): Promise<readonly string[]> {
  const buckets: string[] = [];
  const walk = new DiffWalk({ ...PARTS, memo: 0 }, new Judge(snapshotWith(REPORT_POLICIES)), {
    diffed: ({ bucket, open }) => buckets.push(open?.why ?? bucket),
    unreadable: ({ why }) => buckets.push(why),
    aside: () => undefined,
  });
  await walk.segment(segments, at);
  return buckets;
}

async function scanned(dir: string, meanwhile: (dir: string) => void) {
  const indexes: unknown[] = [];
  const problems: string[] = [];
  const listener = { onProblem: (words: string) => void problems.push(words) };
  for await (const { record } of scanRecords(dir, {}, listener)) {
    if (indexes.length === 0) meanwhile(dir);
    indexes.push(record['index']);
  }
  return { indexes, problems };
}

describe('a log whose segments are compressed after they were listed', () => {
  it('is replayed and compared to its end, answers that were reused from earlier segments included', async () => {
    const dir = await aLog();
    const segments = logSegments(dir);
    compressAll(dir);
    for (const at of [0, 1, 2]) {
      expect(await replayed(segments, at)).toEqual(['MATCH', 'MATCH']);
      expect(await compared(segments, at)).toEqual(['unchanged', 'unchanged']);
    }
  });

  it('is scanned to its end, and tells of no problem', async () => {
    const dir = await aLog();
    const { indexes, problems } = await scanned(dir, compressAll);
    expect(indexes).toEqual(indexes.map((_, index) => index));
    expect(indexes.length).toBeGreaterThan(6);
    expect(problems).toEqual([]);
  });
});

describe('a log whose segments are removed after they were listed', () => {
  it('is read from the next one on', async () => {
    const dir = await aLog();
    const live = new LiveSegments(dir);
    const [first, second] = logSegments(dir);
    removeFirst(dir);
    const read: string[][] = [];
    for (const { firstIndex } of [first, second].filter((segment) => segment !== undefined))
      await live.read(
        firstIndex,
        async (segments, at) => void read.push([...(await replayed(segments, at))]),
      );
    // The first is passed over, and what the second reused of it is gone, which is what is said.
    expect(read).toEqual([['origin_missing', 'origin_missing']]);
  });

  it('is read without a pack that is gone: its decisions cannot be replayed, and that is said', async () => {
    const dir = await aLog();
    const live = new LiveSegments(dir);
    rmSync(logSegments(dir)[0]?.pack?.path ?? '');
    let verdicts: readonly string[] = [];
    await live.read(0, async (segments, at) => void (verdicts = await replayed(segments, at)));
    expect(verdicts).toEqual(['policies_missing', 'policies_missing']);
  });

  it('fails with what is wrong, not for ever, where a file stays unreadable', async () => {
    const live = new LiveSegments(await aLog());
    const absent = Object.assign(new Error('not there'), { code: 'ENOENT' });
    let times = 0;
    const read = live.read(0, async () => {
      times += 1;
      throw absent;
    });
    await expect(read).rejects.toBe(absent);
    expect(times).toBeLessThan(100);
  });

  it('says of a scan which records are missing', async () => {
    const dir = await aLog();
    const segments = logSegments(dir);
    const last = segments.at(-1);
    const { problems } = await scanned(dir, () => rmSync(last?.path ?? ''));
    expect(problems).toEqual([`${last?.name} was removed before it was read: its records are missing here`]);
  });
});

describe('a log that is being written', () => {
  it('is replayed with the pack that its lines need, although there was none when it was listed', async () => {
    const dir = tempDir();
    await using log = await openDecisionLog(dir);
    const segments = logSegments(dir);
    expect(segments.map(({ pack }) => pack)).toEqual([undefined]);
    await log.ask({ user: 'alice' });
    expect(await replayed(segments, 0)).toEqual(['MATCH']);
    expect(await compared(segments, 0)).toEqual(['unchanged']);
  });
});

describe('a span of time', () => {
  it('leaves segments unread that are outside of it, by a margin for clocks', async () => {
    const dir = tempDir();
    await using log = await openDecisionLog(dir);
    for (let hour = 0; hour < 5; hour++) {
      await log.ask({ user: 'alice' });
      log.writer.rotate();
      log.clock.advance(3_600_000);
    }
    const [from, to] = [Date.parse('2026-01-01T02:30:00Z'), Date.parse('2026-01-01T02:45:00Z')];
    const within = await segmentsWithin(dir, { from, to });
    expect(within.map(({ firstIndex }) => firstIndex)).toEqual([logSegments(dir)[2]?.firstIndex]);
    const filter = { from: new Date(from).toISOString(), to: new Date(to).toISOString() };
    expect(await replayLog(dir, { ...PARTS, filter })).toMatchObject({ segments: 1, tally: { match: 0 } });
  });
});
