import { describe, expect, test } from 'vitest';
import { eventually } from '../../support/eventually.ts';
import {
  DEPENDENCIES,
  type Dependency,
  MATRIX,
  type Outcome,
  type Row,
  STATUS_OF,
  outcomeOf,
} from './matrix.ts';
import type { Stage } from './stage.ts';
import { TIMEOUT_MS, stageOf } from './stages.ts';
import { type Answer, type World, createGround } from './world.ts';

/** What a busy machine may add. No fault ends by itself, and all limits that are not to end the wait are a minute. */
const SLACK_MS = 3_000;

const LOG_LOST = 'the decision log cannot be written';

describe.each(Object.entries(DEPENDENCIES) as [Dependency, string][])('%s', (dependency) => {
  const rows = MATRIX.filter((row) => row.dependency === dependency);
  test.concurrent.each(rows)('$fault: $made ($configured): $ending $reason', run);
});

test('the door is open in the matrix only where the configuration says omit', () => {
  const open = MATRIX.filter((row) => outcomeOf(row)?.keptOut === 'permitted');
  expect(open.length).toBeGreaterThan(0);
  expect(open.filter(({ configured }) => !configured.startsWith('omit'))).toEqual([]);
});

async function run(row: Row): Promise<void> {
  await using ground = await createGround();
  await using stage = await stageOf(ground, row);
  const make = stage.faults[row.made];
  if (!make) throw new Error(`nobody can make the fault '${row.made}'`);
  const isFromStart = row.made.endsWith('at the start') || row.ending === 'no_start';
  if (isFromStart) await make();
  const outcome = outcomeOf(row);
  if (outcome === undefined)
    return await expect(ground.start(stage.config)).rejects.toMatchObject({ name: 'InputError' });
  await using world = await ground.start(stage.config);
  if (!isFromStart) {
    await stage.begin?.(world);
    await expectGoodOrder(world, stage, row);
    world.forgetLog();
    await make();
  }
  await noticed(world, stage, row);
  await expectOutcome(world, stage, row, outcome);
}

/** What the dependency permits is permitted, and what it keeps out is kept out: once the machine lets the dependency answer in time. */
async function expectGoodOrder(world: World, stage: Stage, row: Row): Promise<void> {
  const goodOrder = outcomeOf({ ...row, ending: 'as_before' });
  const questions = [
    [stage.good, goodOrder?.permitted],
    [stage.bad, goodOrder?.keptOut],
  ] as const;
  for (const [question, expected] of questions)
    await eventually(`good order: ${expected}`, async () => {
      const { reason } = await world.ask(question);
      if (reason === 'permitted') expect(reason).toBe(expected);
      return reason === expected ? true : undefined;
    });
}

/** Faults that change no decision must have been seen before decisions are looked at; others show in the decisions. */
async function noticed(world: World, { good, noticed: isNoticed }: Stage, { ending }: Row): Promise<void> {
  if (ending === 'unrecorded')
    await eventually('the log has failed', async () => {
      await world.ask(good);
      return world.app.readiness().problems.some((problem) => problem.startsWith(LOG_LOST))
        ? true
        : undefined;
    });
  else if (ending === 'as_before' && isNoticed)
    await eventually('the fault is noticed', async () => ((await isNoticed(world)) ? true : undefined));
}

async function expectOutcome(world: World, stage: Stage, row: Row, outcome: Outcome): Promise<void> {
  const doubtful = row.ending === 'deny' ? (stage.doubtful ?? stage.bad) : stage.bad;
  const questions = [
    [stage.good, outcome.permitted],
    [doubtful, outcome.keptOut],
  ] as const;
  for (const [question, reason] of questions) {
    const answer = await eventually(`the fault shows: ${reason}`, async () => {
      const given = await world.ask(question);
      return given.reason === reason ? given : undefined;
    });
    expectAnswer(answer, row, reason);
    // The first failure says what the fault is; the next one may say that the dependency is left alone, or its connection gone.
    if (row.ending !== 'deny' || question === stage.good) expectRecord(answer, row);
  }
}

function expectAnswer(answer: Answer, row: Row, reason: keyof typeof STATUS_OF): void {
  expect(answer).toMatchObject({
    decision: reason === 'no connection' ? '' : reason === 'permitted' ? 'ALLOW' : 'DENY',
    reason,
    httpStatus: STATUS_OF[reason],
  });
  const limits = { 'at once': 0, '`timeout_ms`': TIMEOUT_MS, '`decision.timeout_ms`': TIMEOUT_MS };
  expect(answer.ms).toBeLessThan(limits[row.within] + SLACK_MS);
  // Words for operators, not for clients.
  if (row.record !== undefined) expect(answer.body).not.toContain(row.record);
}

function expectRecord({ record, detail, reason }: Answer, row: Row): void {
  const isRecorded =
    row.ending !== 'unrecorded' && row.reason !== 'audit_unavailable' && reason !== 'no connection';
  if (!isRecorded) expect(record).toBe('');
  else expect(record).not.toBe('');
  if (row.record !== undefined) expect(row.ending === 'deny' ? detail : record).toContain(row.record);
}
