import { existsSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { describe, expect, onTestFinished, test } from 'vitest';
import { httpStatusOf } from '../../../../src/api/status.ts';
import { lockDir } from '../../../../src/audit/log/dir-lock.ts';
import { readInbox } from '../../../../src/audit/log/inbox.ts';
import type { LogWriter } from '../../../../src/audit/log/log-writer.ts';
import { eraseBlobsOf, packFiles } from '../../../../src/audit/privacy/erase-packs.ts';
import { LogBusyError, eraseSubject } from '../../../../src/audit/privacy/erase.ts';
import { replayLog } from '../../../../src/audit/replay/replay-log.ts';
import { InboxCourier } from '../../../../src/audit/seal/inbox-courier.ts';
import { verifyLog } from '../../../../src/audit/verify/verify.ts';
import { engineName } from '../../../../src/pdp/cedar-module.ts';
import { type DecisionLogOptions, openDecisionLog } from '../../../support/decision-log.ts';
import { tempDir } from '../log-fixture.ts';
import { decisions, linesOf, packsOf, placed, pseudonymsOf, questionIn } from './privacy-fixture.ts';

const pseudonyms = pseudonymsOf();
const ALICE = pseudonyms.of('user', 'demo/alice');

function erasing(dir: string, changes: object = {}) {
  return {
    dir,
    kind: 'user',
    pseudonyms: [ALICE] as const,
    reason: 'ticket 17',
    patienceMs: 5000,
    ...changes,
  };
}

/** A log of two segments in which alice and bob have asked. */
async function writtenLog(dir: string, options: DecisionLogOptions = {}) {
  const log = await openDecisionLog(dir, { pseudonyms, ...options });
  for (const user of ['alice', 'bob']) await log.ask({ user, path: `/reports/${user}` });
  log.writer.rotate();
  for (const user of ['alice', 'bob', 'alice']) await log.ask({ user, path: `/reports/2/${user}` });
  return log;
}

/** The sealer's courier, which takes notes to the log, as long as the test runs. */
function takeNotes(dir: string, writer: LogWriter): void {
  const courier = new InboxCourier(dir, (kind, fields) => writer.appendControl(kind, fields));
  const timer = setInterval(() => courier.deliver(), 20);
  onTestFinished(() => clearInterval(timer));
}

async function replayed(dir: string) {
  return (await replayLog(dir, { httpStatus: httpStatusOf, engine: engineName() })).tally;
}

function compress(dir: string, pattern: RegExp): void {
  for (const name of readdirSync(dir).filter((entry) => pattern.test(entry))) {
    writeFileSync(join(dir, `${name}.gz`), gzipSync(readFileSync(join(dir, name))));
    rmSync(join(dir, name));
  }
}

describe('an erasure', () => {
  test('leaves nothing of the subject in any pack, all of the others, and every line as it was', async () => {
    const dir = tempDir();
    await (await writtenLog(dir))[Symbol.asyncDispose]();
    compress(dir, /^segment-0{20}\.(?:ndjson|blobs)$/);
    const before = linesOf(dir);
    expect(packsOf(dir)).toContain('alice');
    const { blobs, packs, erasure } = await eraseSubject(erasing(dir));
    expect({ blobs: blobs > 4, packs }).toEqual({ blobs: true, packs: 2 });
    expect(packsOf(dir)).not.toContain('alice');
    expect(packsOf(dir)).toContain('demo/bob');
    expect(packsOf(dir)).toContain(`{"kind":"erased","erasure":"${erasure ?? ''}"}`);
    expect(linesOf(dir)).toBe(before);
    expect(readdirSync(dir).filter((name) => /erasing|lock/.test(name))).toEqual([]);
  });

  test('is told by the log: that it begins, and what it came to', async () => {
    const dir = tempDir();
    await (await writtenLog(dir))[Symbol.asyncDispose]();
    const { blobs, erasure } = await eraseSubject(erasing(dir));
    const about = { erasure, subject: ALICE, subject_kind: 'user', reason: 'ticket 17' };
    const notes = readInbox(dir).map(({ kind, fields }) => ({ kind, ...fields }));
    expect(notes).toHaveLength(2);
    expect(notes).toEqual(
      expect.arrayContaining([
        { kind: 'erased', ...about, state: 'begun' },
        { kind: 'erased', ...about, blobs },
      ]),
    );
  });

  test('makes what needs the erased data not replayable, and nothing else', async () => {
    const dir = tempDir();
    await (await writtenLog(dir))[Symbol.asyncDispose]();
    await eraseSubject(erasing(dir));
    for (const at of decisions(dir).filter(({ record }) => Array.isArray(record['entities']))) {
      const question = await questionIn(at);
      if (at.record['user'] === ALICE) expect(question).toMatchObject({ because: 'erased' });
      else expect(question).toMatchObject({ principal: { id: 'demo/bob' } });
    }
    expect(await replayed(dir)).toMatchObject({
      match: 2,
      mismatch: 0,
      notReplayable: 3,
      why: { erased: 3 },
    });
  });

  test('of a log that is being written begins a new segment, so that nothing from before is left out', async () => {
    const dir = tempDir();
    await using log = await writtenLog(dir);
    takeNotes(dir, log.writer);
    const { packs } = await eraseSubject(erasing(dir));
    expect(packs).toBe(2);
    expect(packsOf(dir)).not.toContain('alice');
    await expect.poll(() => placed(dir).filter(({ record }) => record['kind'] === 'erased').length).toBe(2);
    await log.ask({ user: 'alice' });
    expect(packsOf(dir)).toContain('alice');
    const report = await verifyLog(dir);
    expect(report.problems.filter(({ severity }) => severity === 'failed')).toEqual([]);
  });

  test('waits for the process that writes the log, and does nothing without it', async () => {
    const dir = tempDir();
    await using log = await writtenLog(dir);
    expect(log.writer.healthy).toBe(true);
    await expect(eraseSubject(erasing(dir, { patienceMs: 120 }))).rejects.toThrow(LogBusyError);
    expect(packsOf(dir)).toContain('alice');
    expect(readInbox(dir)).toEqual([]);
  });

  test('that is done again finds nothing more to do', async () => {
    const dir = tempDir();
    await (await writtenLog(dir))[Symbol.asyncDispose]();
    await eraseSubject(erasing(dir));
    const notes = readInbox(dir).length;
    expect(await eraseSubject(erasing(dir))).toEqual({ subject: ALICE, packs: 0, blobs: 0 });
    expect(readInbox(dir)).toHaveLength(notes);
  });

  test('that was killed half-way is finished by the next one', async () => {
    const dir = tempDir();
    await (await writtenLog(dir))[Symbol.asyncDispose]();
    const [first] = packFiles(dir);
    if (!first) throw new Error('no pack');
    await eraseBlobsOf(first, new Set([ALICE]), 'an-erasure-that-was-killed');
    const draft = join(
      dir,
      'segment-00000000000000000000.blobs.0b0e8b1c-0000-4000-8000-000000000000.erasing',
    );
    writeFileSync(draft, 'alice');
    expect(await eraseSubject(erasing(dir))).toMatchObject({ packs: 1 });
    expect(packsOf(dir)).not.toContain('alice');
    expect(existsSync(draft)).toBe(false);
  });

  test('only tells what would be erased where that is asked', async () => {
    const dir = tempDir();
    await (await writtenLog(dir))[Symbol.asyncDispose]();
    const before = packsOf(dir);
    const seen: string[] = [];
    const counted = await eraseSubject(
      erasing(dir, { dryRun: true, onProgress: (done: number, all: number) => seen.push(`${done}/${all}`) }),
    );
    expect(counted).toMatchObject({ packs: 2, subject: ALICE });
    expect(counted).not.toHaveProperty('erasure');
    expect(seen).toEqual(['1/2', '2/2']);
    expect(packsOf(dir)).toBe(before);
    expect(readInbox(dir)).toEqual([]);
    expect(await eraseSubject(erasing(dir))).toMatchObject({ blobs: counted.blobs });
  });

  test('erases both forms of a pack that is being compressed', async () => {
    const dir = tempDir();
    await (await writtenLog(dir))[Symbol.asyncDispose]();
    const name = 'segment-00000000000000000000.blobs';
    writeFileSync(join(dir, `${name}.gz`), gzipSync(readFileSync(join(dir, name))));
    await eraseSubject(erasing(dir));
    expect(packsOf(dir)).not.toContain('alice');
  });

  test('does not bring back the pack of a segment that was removed', async () => {
    const dir = tempDir();
    await (await writtenLog(dir))[Symbol.asyncDispose]();
    rmSync(join(dir, 'segment-00000000000000000000.ndjson'));
    await eraseSubject(erasing(dir));
    expect(packFiles(dir).map(({ firstIndex }) => firstIndex)).not.toContain(0);
  });

  test('takes pseudonyms of several keys at once', async () => {
    const dir = tempDir();
    await (await writtenLog(dir))[Symbol.asyncDispose]();
    await eraseSubject(erasing(dir, { pseudonyms: ['~of-a-newer-key-xxxxxx', ALICE] }));
    expect(packsOf(dir)).not.toContain('alice');
  });

  test('is one at a time', async () => {
    const dir = tempDir();
    await (await writtenLog(dir))[Symbol.asyncDispose]();
    const other = lockDir(dir, 'erase.lock');
    await expect(eraseSubject(erasing(dir))).rejects.toThrow(/belongs to the running process/);
    other.release();
    await expect(eraseSubject(erasing(dir))).resolves.toMatchObject({ packs: 2 });
  });

  test('is refused where there is no log', async () => {
    await expect(eraseSubject(erasing(tempDir()))).rejects.toThrow(/no decision log/);
  });
});
