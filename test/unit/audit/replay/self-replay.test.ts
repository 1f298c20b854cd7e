import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { httpStatusOf } from '../../../../src/api/status.ts';
import { SelfReplay, type SelfReplaySettings } from '../../../../src/audit/replay/self-replay.ts';
import { SelfReplayRuns } from '../../../../src/audit/replay/self-replay-run.ts';
import { statusTable } from '../../../../src/audit/replay/status-table.ts';
import { engineName } from '../../../../src/pdp/cedar-module.ts';
import { type DecisionLog, openDecisionLog } from '../../../support/decision-log.ts';
import { eventually } from '../../../support/eventually.ts';
import { type Loose, changeBlobs, decisionsIn, logFolder } from './fixture.ts';

function settings(dir: string, changes: Partial<SelfReplaySettings> = {}): SelfReplaySettings {
  const data = { dir, status: statusTable(httpStatusOf), engine: engineName() };
  return { ...data, sample: 1, maxPerRun: 1000, intervalMs: 20, ...changes };
}

/** Log lines at `error`. */
function listening() {
  const errors: object[] = [];
  const quiet = () => undefined;
  return { errors, log: { info: quiet, warn: quiet, error: (fields: object) => void errors.push(fields) } };
}

/** The records of a kind that a log holds. */
function recordsOf(dir: string, kind: string): readonly Loose[] {
  const lines = readdirSync(dir)
    .filter((name) => name.endsWith('.ndjson'))
    .sort()
    .flatMap((name) => readFileSync(join(dir, name), 'utf8').split('\n'));
  return lines
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Loose)
    .filter((record) => record['kind'] === kind);
}

/** Appends the last decision once more, changed: what only somebody who writes to the log, or a fault of ours, can do. */
async function appendChanged(dir: string, { writer }: DecisionLog, change: Loose): Promise<void> {
  const { index: _, ...record } = decisionsIn(dir).at(-1) ?? {};
  await writer.append((index) => JSON.stringify({ ...record, index, ...change }));
}

describe('self-replay', () => {
  it('replays what was just written, and records that it did', async () => {
    using folder = logFolder();
    await using log = await openDecisionLog(folder.dir);
    const { log: logger, errors } = listening();
    using self = new SelfReplay({ settings: settings(folder.dir), writer: log.writer, log: logger });
    for (let i = 0; i < 5; i++) await log.ask({ user: 'alice' });
    await eventually('five are replayed', () => self.figures.match === 5 || undefined);
    await eventually('a record of it', () => recordsOf(folder.dir, 'replay_run')[0]);
    expect(self.figures).toEqual({ match: 5, mismatch: 0, notReplayable: 0, damaged: 0, failed: 0 });
    expect(self.warnings()).toEqual([]);
    expect(errors).toEqual([]);
    const runs = recordsOf(folder.dir, 'replay_run');
    expect(runs.reduce((sum, { match }) => sum + Number(match), 0)).toBe(5);
    expect(runs[0]).toMatchObject({
      by: 'self',
      mismatch: 0,
      not_replayable: 0,
      sample: '1',
      engine: engineName(),
    });
  });

  it('raises an alarm where a decision does not come out the same, until the next restart', async () => {
    using folder = logFolder();
    await using log = await openDecisionLog(folder.dir);
    const { log: logger, errors } = listening();
    using self = new SelfReplay({ settings: settings(folder.dir), writer: log.writer, log: logger });
    await log.ask({ user: 'carol' });
    await appendChanged(folder.dir, log, { decision: 'ALLOW' });
    await eventually('a mismatch', () => self.figures.mismatch === 1 || undefined);
    await log.ask({ user: 'alice' });
    await eventually('a match after it', () => self.figures.match === 2 || undefined);
    const id = decisionsIn(folder.dir)[0]?.['decision_id'];
    expect(errors).toEqual([
      expect.objectContaining({ decision_id: id, field: 'decision', recorded: 'ALLOW' }),
    ]);
    expect(self.warnings()).toEqual([expect.stringContaining(`decision ${String(id)}, decision`)]);
  });

  it('replays nothing that was there before it began', async () => {
    using folder = logFolder();
    await using log = await openDecisionLog(folder.dir);
    await log.ask({ user: 'alice' });
    using self = new SelfReplay({ settings: settings(folder.dir), writer: log.writer, log: listening().log });
    await log.ask({ user: 'alice' });
    await eventually('the second', () => self.figures.match > 0 || undefined);
    expect(self.figures.match).toBe(1);
  });

  it('looks up what reused answers came from, also in segments before', async () => {
    using folder = logFolder();
    await using log = await openDecisionLog(folder.dir);
    await log.ask({ user: 'alice' });
    log.writer.rotate();
    using self = new SelfReplay({ settings: settings(folder.dir), writer: log.writer, log: listening().log });
    await log.ask({ user: 'alice' });
    await eventually('the reused answer', () => self.figures.match === 1 || undefined);
    expect(self.figures.notReplayable).toBe(0);
  });

  it('counts what it cannot replay, without an alarm', async () => {
    using folder = logFolder();
    await using log = await openDecisionLog(folder.dir);
    const { log: logger, errors } = listening();
    using self = new SelfReplay({ settings: settings(folder.dir), writer: log.writer, log: logger });
    await log.ask({ user: 'alice' });
    await appendChanged(folder.dir, log, { engine: 'cedar/0.0.1 language/0.1' });
    await eventually('it is counted', () => self.figures.notReplayable === 1 || undefined);
    expect(self.warnings()).toEqual([]);
    expect(errors).toEqual([]);
  });

  it('raises the alarm too where what a decision needs is not in the pack as it was written', async () => {
    using folder = logFolder();
    await using log = await openDecisionLog(folder.dir);
    const { log: logger, errors } = listening();
    await log.ask({ user: 'bob' });
    changeBlobs(folder.dir, 'entity', (digest, payload) => `${digest} ${payload.replace('bob', 'eve')}`);
    using soon = new SelfReplay({ settings: settings(folder.dir), writer: log.writer, log: logger });
    await log.ask({ user: 'bob', path: '/reports/q2' });
    await eventually('it is counted', () => soon.figures.notReplayable === 1 || undefined);
    const id = decisionsIn(folder.dir)[1]?.['decision_id'];
    expect(soon.figures).toMatchObject({ match: 0, mismatch: 0, damaged: 1 });
    expect(errors).toEqual([expect.objectContaining({ decision_id: id, why: 'blob_changed' })]);
    expect(soon.warnings()).toEqual([expect.stringContaining(`decision ${String(id)}, blob_changed`)]);
  });

  it('does not remember what a reused answer came from: that is read again', async () => {
    using folder = logFolder();
    await using log = await openDecisionLog(folder.dir);
    using self = new SelfReplay({ settings: settings(folder.dir), writer: log.writer, log: listening().log });
    await log.ask({ user: 'bob' });
    await eventually('it comes out the same', () => self.figures.match === 1 || undefined);
    changeBlobs(folder.dir, 'entity', (digest, payload) => `${digest} ${payload.replace('bob', 'eve')}`);
    await log.ask({ user: 'bob' });
    await eventually('it does not', () => self.figures.notReplayable === 1 || undefined);
    expect(self.figures).toMatchObject({ match: 1, damaged: 1 });
  });

  it('says that it cannot where the log is gone, and goes on when it is back', async () => {
    using folder = logFolder();
    await using log = await openDecisionLog(folder.dir);
    const gone = join(folder.dir, 'gone');
    using self = new SelfReplay({ settings: settings(gone), writer: log.writer, log: listening().log });
    await log.ask({ user: 'alice' });
    await eventually('it failed', () => self.figures.failed > 0 || undefined);
    expect(self.figures.match).toBe(0);
  });

  it('stops at once when it is disposed of', async () => {
    using folder = logFolder();
    await using log = await openDecisionLog(folder.dir);
    const self = new SelfReplay({ settings: settings(folder.dir), writer: log.writer, log: listening().log });
    await log.ask({ user: 'alice' });
    await eventually('it works', () => self.figures.match > 0 || undefined);
    self[Symbol.dispose]();
    await log.ask({ user: 'alice' });
    expect(self.figures).toEqual({ match: 1, mismatch: 0, notReplayable: 0, damaged: 0, failed: 0 });
  });
});

describe('a run of self-replay', () => {
  /** A log with one decision for each number, in segments of `perSegment`. */
  async function written(dir: string, decisions: number, perSegment: number) {
    await using log = await openDecisionLog(dir);
    const from = log.writer.committed.read();
    for (let i = 0; i < decisions; i++) {
      await log.ask({ user: i % 2 === 0 ? 'alice' : 'carol' });
      if (i % perSegment === perSegment - 1) log.writer.rotate();
    }
    return { from, to: log.writer.committed.read() };
  }

  it('replays each record between two positions at most once, over segments', async () => {
    using folder = logFolder();
    const { from, to } = await written(folder.dir, 20, 7);
    const runs = new SelfReplayRuns(settings(folder.dir));
    const tally = await runs.run({ from, to, records: 20, maxMs: 10_000 });
    expect(tally).toMatchObject({ match: 20, mismatch: 0, notReplayable: 0 });
  });

  it('replays no more than it was told to', async () => {
    using folder = logFolder();
    const { from, to } = await written(folder.dir, 50, 100);
    const runs = new SelfReplayRuns(settings(folder.dir));
    expect((await runs.run({ from, to, records: 10, maxMs: 10_000 })).match).toBe(10);
  });

  it('replays only what is behind the first position', async () => {
    using folder = logFolder();
    const { to } = await written(folder.dir, 4, 100);
    const runs = new SelfReplayRuns(settings(folder.dir));
    expect((await runs.run({ from: to, to, records: 10, maxMs: 10_000 })).match).toBe(0);
  });

  it('ends when its time is over', async () => {
    using folder = logFolder();
    const { from, to } = await written(folder.dir, 20, 5);
    const runs = new SelfReplayRuns(settings(folder.dir));
    const { match, notReplayable } = await runs.run({ from, to, records: 20, maxMs: 0 });
    expect(notReplayable).toBe(0);
    expect(match).toBeLessThan(20);
  });
});
