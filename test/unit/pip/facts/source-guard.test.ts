import { setImmediate as turn, setTimeout as delay } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { PdpError } from '../../../../src/pdp/errors.ts';
import type { FactSource } from '../../../../src/pip/facts/fact-source.ts';
import { remote } from '../../../../src/pip/facts/remote.ts';
import { NotAskedError, WrongAnswerError } from '../../../../src/pip/facts/source-guard.ts';
import { manualClock, memoryLog } from '../fixture.ts';
import { NEVER, SETTINGS, type Setup, lookup, manualFactSource, remoteSetup } from './manual-fact-source.ts';

const down = (problem = 'is down'): PdpError => new PdpError('attribute_unavailable', problem);

/** Asks, has the source fail, and waits until that is known. */
async function fail(setup: Setup, id = 'alice', error: Error = down()): Promise<void> {
  const answer = lookup(setup, id);
  setup.asked.at(-1)?.fail(error);
  await expect(answer).rejects.toThrow();
}

async function succeed(setup: Setup, id: string, facts: object = {}): Promise<void> {
  const answer = lookup(setup, id);
  setup.asked.at(-1)?.answer(facts);
  await answer;
}

/** A setup whose breaker has just opened. */
async function opened(...args: Parameters<typeof remoteSetup>): Promise<Setup> {
  const setup = remoteSetup(...args);
  for (let i = 0; i < 3; i += 1) await fail(setup);
  expect(setup.source.health().breaker).toBe('open');
  return setup;
}

describe('the circuit breaker', () => {
  test('opens after the configured number of failures in a row: then lookups fail at once, with the cause', async () => {
    const setup = await opened();
    await expect(lookup(setup)).rejects.toMatchObject({
      name: 'PdpError',
      reason: 'attribute_unavailable',
      message: 'is not asked for a while because it keeps failing (the last time: is down)',
    });
    expect(setup.asked).toHaveLength(3);
    expect(setup.source.health().lookups).toMatchObject({ failed: 3, rejected: 1 });
  });

  test('stays closed where an answer came in between, that the subject is absent being one', async () => {
    for (const facts of [{}, { status: 'absent' }]) {
      const setup = remoteSetup();
      for (let i = 0; i < 5; i += 1) {
        await fail(setup, `a${i}`);
        await fail(setup, `b${i}`);
        await succeed(setup, `c${i}`, facts);
      }
      expect(setup.source.health().breaker).toBe('closed');
    }
  });

  test('does not open for answers that are wrong or too much: the record of one must not cost the others', async () => {
    const setup = remoteSetup();
    const groups = Array.from({ length: 1_001 }, (_, i) => `g${i}`);
    for (let i = 0; i < 10; i += 1) {
      await expect(succeed(setup, 'alice', { groups })).rejects.toThrow('more than 1000 groups');
      await fail(setup, 'carol', new WrongAnswerError('answered with JSON that is not an object'));
    }
    expect(setup.source.health()).toMatchObject({ breaker: 'closed', lookups: { failed: 20 } });
    await succeed(setup, 'bob');
  });

  test('closes for a wrong answer: who gives one is there', async () => {
    const setup = await opened();
    setup.clock.advance(1_000);
    await fail(setup, 'alice', new WrongAnswerError('answered with JSON that is not an object'));
    expect(setup.source.health().breaker).toBe('closed');
  });

  test('has wrong answers said at most once a minute', async () => {
    const setup = remoteSetup();
    const wrong = async (): Promise<void> => fail(setup, 'alice', new WrongAnswerError('is not an object'));
    for (let i = 0; i < 10; i += 1) await wrong();
    const line = {
      level: 'warn',
      fields: { source: 'directory', problem: 'is not an object' },
      message: 'information point answers wrongly',
    };
    expect(setup.log.entries).toEqual([line]);
    setup.clock.advance(60_000);
    await wrong();
    expect(setup.log.entries).toEqual([line, line]);
  });

  test('hears nothing of whom the source need not be asked about', async () => {
    const { asked, source: inner } = manualFactSource();
    const clock = manualClock();
    const unasked: FactSource['unasked'] = (id) => {
      if (id === 'odd') throw new NotAskedError('is not asked: the id');
      return id === 'stranger' ? { status: 'absent', attributes: {}, groups: [] } : undefined;
    };
    const parts = { clock, log: memoryLog(), random: () => 0 };
    const source = remote({ ...inner, unasked }, SETTINGS, parts);
    for (let i = 0; i < 3; i += 1) {
      const answer = source.lookup('alice', NEVER);
      expect(await source.lookup('stranger', NEVER)).toMatchObject({ status: 'absent' });
      clock.advance(3_000);
      asked.at(-1)?.fail(down());
      await expect(answer).rejects.toThrow();
    }
    expect(source.health().breaker).toBe('open');
    expect(await source.lookup('stranger', NEVER)).toMatchObject({ status: 'absent' });
    clock.advance(3_000);
    expect(await source.lookup('stranger', NEVER)).toMatchObject({ status: 'absent' });
    await expect(source.lookup('odd', NEVER)).rejects.toThrow('is not asked: the id');
    expect(source.health().breaker).toBe('open');
    expect(asked).toHaveLength(3);
  });

  test('does not take ids for failures that the source cannot be asked about', async () => {
    const setup = remoteSetup();
    for (let i = 0; i < 5; i += 1)
      await fail(setup, 'no/such/form', new NotAskedError('is not asked: the id'));
    expect(setup.source.health()).toMatchObject({ breaker: 'closed', lookups: { rejected: 5, failed: 0 } });
  });

  test('does not take callers that go away for failures', async () => {
    const setup = remoteSetup();
    for (let i = 0; i < 10; i += 1) {
      const asker = new AbortController();
      const answer = setup.source.lookup('alice', asker);
      asker.abort(new Error('cancelled'));
      await expect(answer).rejects.toThrow('cancelled');
      await turn();
      setup.asked.at(-1)?.fail(new Error('aborted'));
      await turn();
    }
    expect(setup.source.health().breaker).toBe('closed');
  });

  test('opens for a source that hangs, although every caller runs out of time before it does', async () => {
    const setup = remoteSetup({ timeoutMs: 10 });
    for (let i = 0; i < 3; i += 1) {
      const late = { signal: AbortSignal.timeout(1) };
      await expect(setup.source.lookup(`user-${i}`, late)).rejects.toThrow();
    }
    await expect.poll(() => setup.source.health().breaker).toBe('open');
    await expect(lookup(setup)).rejects.toThrow('(the last time: did not answer within 10 ms)');
  });

  test('lets one question through after its pause, and none beside it', async () => {
    const setup = await opened();
    setup.clock.advance(999);
    await expect(lookup(setup)).rejects.toThrow('is not asked for a while');
    setup.clock.advance(1);
    const herd = Array.from({ length: 1_000 }, (_, i) => lookup(setup, `user-${i}`).catch(() => undefined));
    expect(setup.source.health().breaker).toBe('half_open');
    expect(setup.asked).toHaveLength(4);
    setup.asked[3]?.answer({});
    expect((await Promise.all(herd)).filter((answer) => answer !== undefined)).toHaveLength(1);
    expect(setup.source.health().breaker).toBe('closed');
    expect(setup.asked).toHaveLength(4);
  });

  test('opens again for another pause where that question fails', async () => {
    const setup = await opened();
    for (let i = 0; i < 3; i += 1) {
      setup.clock.advance(1_000);
      await fail(setup);
      await expect(lookup(setup)).rejects.toThrow('is not asked for a while');
    }
    expect(setup.asked).toHaveLength(6);
    setup.clock.advance(1_000);
    await succeed(setup, 'alice');
    expect(setup.source.health().breaker).toBe('closed');
  });

  test('asks that question to the end, although its caller has gone', async () => {
    const setup = await opened();
    setup.clock.advance(1_000);
    const asker = new AbortController();
    const answer = setup.source.lookup('alice', asker);
    asker.abort(new Error('cancelled'));
    await expect(answer).rejects.toThrow('cancelled');
    await turn();
    expect(setup.asked[3]?.signal.aborted).toBe(false);
    expect(setup.source.health().breaker).toBe('half_open');
    setup.asked[3]?.fail(down());
    await expect.poll(() => setup.source.health().breaker).toBe('open');
  });

  test('pauses for up to a fifth longer, so that replicas do not all knock at once', async () => {
    const setup = await opened({}, { random: () => 0.5 });
    setup.clock.advance(1_099);
    await expect(lookup(setup)).rejects.toThrow('is not asked for a while');
    setup.clock.advance(1);
    void lookup(setup).catch(() => undefined);
    expect(setup.asked).toHaveLength(4);
  });

  test('pauses no longer because the wall clock was set back', async () => {
    let monotonic = 0;
    const clock = { now: () => 0, monotonic: () => monotonic };
    const setup = await opened({}, { clock });
    monotonic = 1_000;
    void lookup(setup).catch(() => undefined);
    expect(setup.asked).toHaveLength(4);
  });

  test('leaves a source alone that refreshes would ask', async () => {
    const setup = remoteSetup({ maxStaleMs: 60_000 });
    await succeed(setup, 'alice');
    for (let i = 0; i < 3; i += 1) await fail(setup, 'bob');
    setup.clock.advance(500);
    setup.source.invalidateAll();
    for (let i = 0; i < 10; i += 1)
      expect(setup.source.lookup('alice', NEVER, true)).toMatchObject({ stale: true });
    expect(setup.asked).toHaveLength(4);
    setup.clock.advance(500);
    expect(setup.source.lookup('alice', NEVER, true)).toMatchObject({ stale: true });
    expect(setup.asked).toHaveLength(5);
  });

  test('is said to open and to close once each, with the cause, and failures are not', async () => {
    const setup = await opened();
    setup.clock.advance(1_000);
    await fail(setup);
    setup.clock.advance(1_000);
    await succeed(setup, 'alice');
    expect(setup.log.entries).toEqual([
      {
        level: 'warn',
        fields: { source: 'directory', failures: 3, problem: 'is down' },
        message: 'information point keeps failing and is left alone for a while',
      },
      { level: 'info', fields: { source: 'directory' }, message: 'information point answers again' },
    ]);
  });

  test('tells of an error that is not ours only its kind: it may quote what was asked', async () => {
    const setup = remoteSetup();
    for (let i = 0; i < 3; i += 1) await fail(setup, 'alice', new TypeError('GET /?token=secret'));
    await expect(lookup(setup)).rejects.toThrow('failed unexpectedly (TypeError)');
    expect(setup.log.text()).not.toContain('secret');
    const other = remoteSetup();
    const answer = lookup(other);
    other.asked[0]?.fail(new TypeError('GET /?token=secret'));
    await expect(answer).rejects.toMatchObject({
      reason: 'attribute_unavailable',
      message: 'failed unexpectedly (TypeError)',
    });
  });
});

describe('a source that was down and returns', () => {
  test('is asked at most once for each subject, and by no more than there is room for', async () => {
    const setup = await opened({ concurrency: 10 });
    setup.clock.advance(1_000);
    await succeed(setup, 'first');
    const herd = Array.from({ length: 1_000 }, (_, i) => lookup(setup, `user-${i % 20}`));
    expect(setup.asked).toHaveLength(4 + 10);
    for (let i = 4; i < 24; i += 1) {
      setup.asked[i]?.answer({});
      await turn();
    }
    await Promise.all(herd);
    expect(setup.asked).toHaveLength(4 + 20);
  });
});

describe('the limits', () => {
  test('are heeded: more questions than may be under way wait, and more than may wait fail at once', async () => {
    const setup = remoteSetup({ concurrency: 2, queue: 1 });
    const [a, b, c] = ['a', 'b', 'c'].map((id) => lookup(setup, id));
    await expect(lookup(setup, 'd')).rejects.toMatchObject({
      reason: 'attribute_unavailable',
      message: 'is not asked: 2 questions are under way and 1 wait',
    });
    expect(setup.asked).toHaveLength(2);
    setup.asked[0]?.answer({});
    await a;
    await turn();
    expect(setup.asked).toHaveLength(3);
    for (const question of setup.asked) question.answer({});
    await Promise.all([b, c]);
    expect(setup.source.health().breaker).toBe('closed');
  });

  test('do not keep a question waiting whose breaker has opened meanwhile', async () => {
    const setup = remoteSetup({ concurrency: 3, queue: 10 });
    const asked = ['a', 'b', 'c'].map((id) => lookup(setup, id));
    const waiting = lookup(setup, 'd');
    for (const question of setup.asked) question.fail(down());
    for (const answer of asked) await expect(answer).rejects.toThrow('is down');
    await expect(waiting).rejects.toThrow('is not asked for a while');
    expect(setup.asked).toHaveLength(3);
  });

  test('do not have a question asked that nobody waits for any more', async () => {
    const setup = remoteSetup({ concurrency: 1 });
    const first = lookup(setup, 'a');
    const asker = new AbortController();
    const second = setup.source.lookup('b', asker);
    asker.abort(new Error('cancelled'));
    await expect(second).rejects.toThrow('cancelled');
    setup.asked[0]?.answer({});
    await first;
    await turn();
    expect(setup.asked).toHaveLength(1);
  });

  test('cut off a question after its timeout, in words of ours, whatever the source then says', async () => {
    const setup = remoteSetup({ timeoutMs: 10 });
    const answer = lookup(setup);
    const question = setup.asked[0];
    question?.signal.addEventListener('abort', () => question.fail(new Error('socket hang up')));
    await expect(answer).rejects.toMatchObject({
      reason: 'attribute_unavailable',
      message: 'did not answer within 10 ms',
    });
    expect(question?.signal.aborted).toBe(true);
  });

  test("end with the caller's time, where that is shorter", async () => {
    const setup = remoteSetup();
    const late = { signal: AbortSignal.timeout(5) };
    await expect(setup.source.lookup('alice', late)).rejects.toMatchObject({ name: 'TimeoutError' });
  });

  test('leave no signal aborted after an answer', async () => {
    const setup = remoteSetup({ timeoutMs: 5 });
    await succeed(setup, 'alice');
    await delay(20);
    expect(setup.asked[0]?.signal.aborted).toBe(false);
  });
});

describe('a source that breaks its word', () => {
  test('by throwing at once, has failed like any other', async () => {
    const source: FactSource = {
      name: 'directory',
      subject: 'user',
      gives: ['name'],
      fetch: () => {
        throw down('is broken');
      },
      [Symbol.asyncDispose]: async () => undefined,
    };
    const around = remote(source, SETTINGS, { clock: manualClock(), log: memoryLog() });
    await expect(around.lookup('alice', NEVER)).rejects.toThrow('is broken');
  });
});
