import { setImmediate as turn } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { CallScope } from '../../../../src/pdp/call-scope.ts';
import { START } from '../fixture.ts';
import { DOWN, NEVER, type Setup, learn, lookup, remoteSetup } from './manual-fact-source.ts';

function names(setup: Setup): readonly string[] {
  return setup.asked.map(({ id }) => id);
}

describe('a remote source', () => {
  test('is the source it stands before, with what its failure means', () => {
    const onFailureOf = new Map([['name', 'omit' as const]]);
    expect(remoteSetup({ onFailure: 'last_known', onFailureOf }).source).toMatchObject({
      name: 'directory',
      subject: 'user',
      gives: ['name', 'groups'],
      onFailure: 'last_known',
      onFailureOf,
    });
    expect('onFailureOf' in remoteSetup().source).toBe(false);
  });

  test('gives what the source says, dated by when it was asked, which is marked as assumed', async () => {
    const setup = remoteSetup();
    const answer = lookup(setup);
    setup.clock.advance(40);
    setup.asked[0]?.answer({ attributes: { name: 'Alice' }, groups: ['staff'] });
    expect(await answer).toEqual({
      status: 'found',
      attributes: { name: 'Alice' },
      groups: ['staff'],
      observedAt: START,
      assumed: true,
      freshUntil: START + 10_000,
    });
  });

  test('gives the time of observation that the source states', async () => {
    const answer = await learn(remoteSetup(), 'alice', { observedAt: START - 5_000 });
    expect(answer.observedAt).toBe(START - 5_000);
    expect(answer.assumed).toBeUndefined();
  });

  test('does not believe a time of observation that has not come yet', async () => {
    const answer = await learn(remoteSetup(), 'alice', { observedAt: START + 86_400_000 });
    expect(answer).toMatchObject({ observedAt: START, assumed: true });
  });

  test('closes the source with itself, and aborts what is asked', async () => {
    const setup = remoteSetup();
    const answer = lookup(setup);
    await setup.source[Symbol.asyncDispose]();
    await expect(answer).rejects.toThrow();
    expect(setup.asked[0]?.signal.aborted).toBe(true);
    expect(setup.isDisposed()).toBe(true);
  });
});

describe('one question at a time', () => {
  test('is asked for a thousand concurrent lookups of one subject', async () => {
    const setup = remoteSetup();
    const herd = Array.from({ length: 1_000 }, () => lookup(setup));
    expect(setup.asked).toHaveLength(1);
    setup.asked[0]?.answer({ attributes: { name: 'Alice' } });
    const answers = await Promise.all(herd);
    expect(new Set(answers).size).toBe(1);
    expect(setup.asked).toHaveLength(1);
  });

  test('does not mix subjects', async () => {
    const setup = remoteSetup();
    const [alice, bob] = [lookup(setup, 'alice'), lookup(setup, 'bob')];
    setup.asked[1]?.answer({ attributes: { name: 'Bob' } });
    setup.asked[0]?.answer({ attributes: { name: 'Alice' } });
    expect((await alice).attributes).toEqual({ name: 'Alice' });
    expect((await bob).attributes).toEqual({ name: 'Bob' });
  });

  test('fails for all who wait, and is asked anew for who comes next', async () => {
    const setup = remoteSetup();
    const both = [lookup(setup), lookup(setup)];
    setup.asked[0]?.fail(DOWN);
    for (const answer of both) await expect(answer).rejects.toBe(DOWN);
    expect(await learn(setup)).toMatchObject({ status: 'found' });
  });

  test('goes on for the others where one gives up', async () => {
    const setup = remoteSetup();
    const impatient = new AbortController();
    const gaveUp = setup.source.lookup('alice', impatient);
    const patient = lookup(setup);
    impatient.abort(new Error('cancelled'));
    await expect(gaveUp).rejects.toThrow('cancelled');
    expect(setup.asked[0]?.signal.aborted).toBe(false);
    setup.asked[0]?.answer({});
    expect((await patient).status).toBe('found');
  });

  test('is aborted when all have gone, and asked anew for who comes next', async () => {
    const setup = remoteSetup();
    const askers = [new AbortController(), new AbortController()];
    const answers = askers.map((asker) => setup.source.lookup('alice', asker));
    for (const asker of askers) asker.abort(new Error('cancelled'));
    for (const answer of answers) await expect(answer).rejects.toThrow('cancelled');
    await turn();
    expect(setup.asked[0]?.signal.aborted).toBe(true);
    const next = lookup(setup);
    setup.asked[0]?.answer({ attributes: { name: 'too late' } });
    setup.asked[1]?.answer({ attributes: { name: 'Alice' } });
    expect((await next).attributes).toEqual({ name: 'Alice' });
    expect((await lookup(setup)).attributes).toEqual({ name: 'Alice' });
  });

  test('goes on where time ran out for the last: the answer is for whoever comes next', async () => {
    const setup = remoteSetup();
    using scope = new CallScope({ now: Date.now, monotonic: () => performance.now() }, 5);
    await expect(setup.source.lookup('alice', scope)).rejects.toThrow('deadline exceeded');
    await turn();
    expect(setup.asked[0]?.signal.aborted).toBe(false);
    setup.asked[0]?.answer({ attributes: { name: 'Alice' } });
    await turn();
    expect(setup.source.lookup('alice', NEVER)).toMatchObject({ attributes: { name: 'Alice' } });
    expect(setup.asked).toHaveLength(1);
  });

  test('is not asked for a caller whose time is over', async () => {
    const setup = remoteSetup();
    const late = { signal: AbortSignal.abort(new Error('late')) };
    await expect(setup.source.lookup('alice', late)).rejects.toThrow('late');
    expect(setup.asked).toEqual([]);
  });

  test('carries what the source said last, however old, so that it can say that nothing changed', async () => {
    const setup = remoteSetup();
    const facts = { attributes: { name: 'Alice' }, validator: '"7"', observedAt: START - 1 };
    await learn(setup, 'alice', facts);
    setup.clock.advance(3_600_000);
    const again = lookup(setup);
    const previous = setup.asked[1]?.previous;
    expect(previous).toMatchObject(facts);
    setup.asked[1]?.answer(previous ?? {});
    expect(await again).toMatchObject({ attributes: { name: 'Alice' }, freshUntil: START + 3_610_000 });
  });
});

describe('refreshing ahead', () => {
  test('asks once in the last fifth, while everybody is answered at once', async () => {
    const setup = remoteSetup();
    await learn(setup);
    setup.clock.advance(7_999);
    void setup.source.lookup('alice', NEVER);
    expect(setup.asked).toHaveLength(1);
    setup.clock.advance(1);
    for (let i = 0; i < 100; i += 1)
      expect(setup.source.lookup('alice', NEVER)).toMatchObject({ attributes: { name: 'alice' } });
    expect(setup.asked).toHaveLength(2);
    setup.asked[1]?.answer({ attributes: { name: 'Alicia' } });
    await turn();
    expect(setup.source.lookup('alice', NEVER)).toMatchObject({
      attributes: { name: 'Alicia' },
      freshUntil: START + 18_000,
    });
    expect(setup.asked).toHaveLength(2);
  });

  test('that fails changes nothing and breaks nobody', async () => {
    const setup = remoteSetup();
    await learn(setup);
    setup.clock.advance(9_000);
    void setup.source.lookup('alice', NEVER);
    setup.asked[1]?.fail(DOWN);
    await turn();
    expect(setup.source.lookup('alice', NEVER)).toMatchObject({ attributes: { name: 'alice' } });
    expect(setup.source.health().lookups).toMatchObject({ fetched: 1, fresh: 2, failed: 0 });
  });

  test('is joined by who comes when freshness is over, and is not aborted with them', async () => {
    const setup = remoteSetup();
    await learn(setup);
    setup.clock.advance(9_000);
    void setup.source.lookup('alice', NEVER);
    setup.clock.advance(1_000);
    const asker = new AbortController();
    const late = setup.source.lookup('alice', asker);
    expect(setup.asked).toHaveLength(2);
    asker.abort(new Error('cancelled'));
    await expect(late).rejects.toThrow('cancelled');
    await turn();
    expect(setup.asked[1]?.signal.aborted).toBe(false);
  });

  test('never takes the place of somebody who waits', async () => {
    const setup = remoteSetup({ concurrency: 1 });
    await learn(setup);
    setup.clock.advance(9_000);
    const bob = lookup(setup, 'bob');
    void setup.source.lookup('alice', NEVER);
    expect(names(setup)).toEqual(['alice', 'bob']);
    setup.asked[1]?.answer({});
    await bob;
    await turn();
    expect(names(setup)).toEqual(['alice', 'bob']);
  });
});

describe('an answer that is too much', () => {
  test.each([
    ['groups', { groups: Array.from({ length: 1_001 }, (_, i) => `g${i}`) }, /more than 1000 groups/],
    [
      'attributes',
      { attributes: Object.fromEntries(Array.from({ length: 1_001 }, (_, i) => [`a${i}`, i])) },
      /more than 1000 attributes/,
    ],
    ['bytes', { attributes: { name: 'é'.repeat(131_072) } }, /longer than 262144 bytes/],
  ])('in %s is a failure', async (_what, facts, problem) => {
    const setup = remoteSetup();
    const answer = learn(setup, 'alice', facts);
    await expect(answer).rejects.toMatchObject({ name: 'PdpError', reason: 'attribute_unavailable' });
    await expect(answer).rejects.toThrow(problem);
    expect(setup.source.lookup('alice', NEVER)).toBeInstanceOf(Promise);
  });

  test('is one only beyond the bound', async () => {
    const groups = Array.from({ length: 1_000 }, (_, i) => `g${i}`);
    expect((await learn(remoteSetup(), 'alice', { groups })).groups).toHaveLength(1_000);
  });
});

describe('what is told of lookups', () => {
  test('is what became of each', async () => {
    const setup = remoteSetup({ maxStaleMs: 60_000, concurrency: 1, queue: 0 });
    await learn(setup);
    await lookup(setup);
    await learn(setup, 'nobody', { status: 'absent' });
    setup.clock.advance(10_000);
    void setup.source.lookup('alice', NEVER, true);
    const rejected = lookup(setup, 'bob');
    await expect(rejected).rejects.toThrow('is not asked: 1 questions are under way and 0 wait');
    setup.asked.at(-1)?.answer({});
    await turn();
    const failed = lookup(setup, 'carol');
    setup.asked.at(-1)?.fail(DOWN);
    await expect(failed).rejects.toBe(DOWN);
    expect(setup.source.health()).toEqual({
      name: 'directory',
      breaker: 'closed',
      lookups: { fresh: 1, stale: 1, fetched: 1, absent: 1, failed: 1, rejected: 1 },
    });
  });

  test('is nothing of callers that went away, and a failure where time ran out', async () => {
    const setup = remoteSetup();
    const gone = { signal: AbortSignal.abort(new Error('cancelled')) };
    await expect(setup.source.lookup('alice', gone)).rejects.toThrow('cancelled');
    const late = { signal: AbortSignal.timeout(1) };
    await expect(setup.source.lookup('alice', late)).rejects.toThrow();
    expect(setup.source.health().lookups).toMatchObject({ failed: 1, rejected: 0 });
  });

  test('is how long each question took', async () => {
    const times: number[] = [];
    const setup = remoteSetup({}, { onAsked: (ms) => times.push(ms) });
    const first = lookup(setup);
    setup.clock.advance(12);
    setup.asked[0]?.answer({});
    await first;
    const second = lookup(setup, 'bob');
    setup.clock.advance(7);
    setup.asked[1]?.fail(DOWN);
    await expect(second).rejects.toBe(DOWN);
    expect(times).toEqual([12, 7]);
  });
});
