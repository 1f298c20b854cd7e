import { setImmediate as turn } from 'node:timers/promises';
import { describe, expect, test, vi } from 'vitest';
import { START } from '../fixture.ts';
import { DOWN, NEVER, type Setup, learn, lookup, remoteSetup } from './manual-fact-source.ts';

function names(setup: Setup): readonly string[] {
  return setup.asked.map(({ id }) => id);
}

describe('freshness', () => {
  test('lasts for as long as is configured, and not a millisecond longer', async () => {
    const setup = remoteSetup();
    const first = await learn(setup);
    setup.clock.advance(9_999);
    expect(setup.source.lookup('alice', NEVER)).toBe(first);
    setup.clock.advance(1);
    expect(setup.source.lookup('alice', NEVER)).toBeInstanceOf(Promise);
  });

  test('can be shortened by the answer and never lengthened', async () => {
    for (const [freshMs, expected] of [
      [3_000, 3_000],
      [60_000, 10_000],
      [0, 0],
      [-1, 0],
      [NaN, 0],
    ] as const) {
      const answer = await learn(remoteSetup(), 'alice', { freshMs });
      expect(answer.freshUntil).toBe(START + expected);
    }
  });

  test('is jittered down by up to a tenth, so that what came together does not leave together', async () => {
    const random = vi.fn(() => 0.999);
    const setup = remoteSetup({}, { random });
    expect((await learn(setup, 'a')).freshUntil).toBe(START + 9_001);
    random.mockReturnValue(0.5);
    expect((await learn(setup, 'b')).freshUntil).toBe(START + 9_500);
    setup.clock.advance(9_001);
    expect(setup.source.lookup('a', NEVER)).toBeInstanceOf(Promise);
    expect(setup.source.lookup('b', NEVER)).not.toBeInstanceOf(Promise);
  });

  test('ends in time although the wall clock was set back', async () => {
    let [wall, monotonic] = [START, 0];
    const setup = remoteSetup({}, { clock: { now: () => wall, monotonic: () => monotonic } });
    await learn(setup);
    [wall, monotonic] = [START - 86_400_000, 10_000];
    expect(setup.source.lookup('alice', NEVER)).toBeInstanceOf(Promise);
  });

  test('ends in time although this machine slept, which its monotonic clock does not tell', async () => {
    let wall = START;
    const setup = remoteSetup({}, { clock: { now: () => wall, monotonic: () => 0 } });
    await learn(setup);
    wall += 10_000;
    expect(setup.source.lookup('alice', NEVER)).toBeInstanceOf(Promise);
  });

  test('begins when the question was asked, so that a slow answer is not fresh for longer', async () => {
    const setup = remoteSetup();
    const slow = lookup(setup);
    setup.clock.advance(12_000);
    setup.asked[0]?.answer({});
    expect((await slow).freshUntil).toBe(START + 10_000);
    expect(setup.source.lookup('alice', NEVER)).toBeInstanceOf(Promise);
    expect(setup.asked).toHaveLength(2);
  });

  test('is never that of another subject', async () => {
    const setup = remoteSetup();
    for (const id of ['alice', 'alice\0', 'Alice', '', '__proto__', 'constructor'])
      expect((await learn(setup, id)).attributes).toEqual({ name: id });
    expect(names(setup)).toHaveLength(6);
    expect((await lookup(setup, '__proto__')).attributes).toEqual({ name: '__proto__' });
  });

  test('of a hit needs no signal, which costs to make', async () => {
    const setup = remoteSetup();
    await learn(setup);
    const asker = {
      get signal(): AbortSignal {
        throw new Error('was read');
      },
    };
    expect(setup.source.lookup('alice', asker)).toMatchObject({ attributes: { name: 'alice' } });
  });

  test('is bounded in entries', async () => {
    const setup = remoteSetup({ cacheEntries: 2 });
    for (const id of ['a', 'b', 'c']) await learn(setup, id);
    expect(setup.source.lookup('c', NEVER)).not.toBeInstanceOf(Promise);
    expect(setup.source.lookup('a', NEVER)).toBeInstanceOf(Promise);
  });

  test('is bounded in bytes', async () => {
    const setup = remoteSetup({ cacheMaxBytes: 100_000 });
    const big = { attributes: { name: 'x'.repeat(20_000) } };
    for (const id of ['a', 'b', 'c']) await learn(setup, id, big);
    expect(setup.source.lookup('c', NEVER)).not.toBeInstanceOf(Promise);
    expect(setup.source.lookup('a', NEVER)).toBeInstanceOf(Promise);
    expect((await learn(setup, 'huge', { attributes: { name: 'x'.repeat(60_000) } })).status).toBe('found');
    expect(setup.source.lookup('huge', NEVER)).toBeInstanceOf(Promise);
  });
});

describe('that a subject is absent', () => {
  test('is believed for a short time', async () => {
    const setup = remoteSetup();
    expect(await learn(setup, 'nobody', { status: 'absent' })).toMatchObject({
      status: 'absent',
      freshUntil: START + 2_000,
    });
    setup.clock.advance(1_999);
    expect(setup.source.lookup('nobody', NEVER)).not.toBeInstanceOf(Promise);
    setup.clock.advance(1);
    expect(setup.source.lookup('nobody', NEVER)).toBeInstanceOf(Promise);
  });

  test('is not believed for longer than facts would be', async () => {
    const setup = remoteSetup({ freshMs: 500 });
    expect((await learn(setup, 'nobody', { status: 'absent' })).freshUntil).toBe(START + 500);
  });

  test('replaces what was known, and is never stretched beyond its freshness', async () => {
    const setup = remoteSetup({ maxStaleMs: 60_000 });
    await learn(setup);
    setup.clock.advance(10_000);
    await learn(setup, 'alice', { status: 'absent' });
    setup.clock.advance(2_000);
    expect(setup.source.lastKnown?.('alice')).toBeUndefined();
    expect(setup.source.lookup('alice', NEVER, true)).toBeInstanceOf(Promise);
  });
});

describe('what is known last', () => {
  const settings = { maxStaleMs: 60_000 };

  test('is given at once where the caller takes it, marked as stale, while a newer answer is fetched', async () => {
    const setup = remoteSetup(settings);
    await learn(setup);
    setup.clock.advance(10_000);
    expect(setup.source.lookup('alice', NEVER, true)).toEqual({
      status: 'found',
      attributes: { name: 'alice' },
      groups: [],
      observedAt: START,
      assumed: true,
      freshUntil: START + 10_000,
      stale: true,
    });
    void setup.source.lookup('alice', NEVER, true);
    expect(setup.asked).toHaveLength(2);
    setup.asked[1]?.answer({ attributes: { name: 'Alicia' } });
    await turn();
    const newer = setup.source.lookup('alice', NEVER, true);
    expect(newer).toMatchObject({ attributes: { name: 'Alicia' } });
    expect(newer).not.toHaveProperty('stale');
  });

  test('is not given to a caller that does not take it', async () => {
    const setup = remoteSetup(settings);
    await learn(setup);
    setup.clock.advance(10_000);
    expect(setup.source.lookup('alice', NEVER)).toBeInstanceOf(Promise);
    expect(setup.source.lookup('alice', NEVER, false)).toBeInstanceOf(Promise);
  });

  test('is there where the source failed', async () => {
    const setup = remoteSetup(settings);
    await learn(setup);
    setup.clock.advance(50_000);
    const failed = lookup(setup);
    setup.asked[1]?.fail(DOWN);
    await expect(failed).rejects.toBe(DOWN);
    expect(setup.source.lastKnown?.('alice')).toMatchObject({ attributes: { name: 'alice' }, stale: true });
    expect(setup.source.lastKnown?.('bob')).toBeUndefined();
  });

  test('is never given beyond its bound', async () => {
    const setup = remoteSetup(settings);
    await learn(setup);
    setup.clock.advance(69_999);
    expect(setup.source.lastKnown?.('alice')).toBeDefined();
    setup.clock.advance(1);
    expect(setup.source.lastKnown?.('alice')).toBeUndefined();
    expect(setup.source.lookup('alice', NEVER, true)).toBeInstanceOf(Promise);
  });

  test('is not given for longer because the wall clock was set back, or this machine slept', async () => {
    let [wall, monotonic] = [START, 0];
    const setup = remoteSetup(settings, { clock: { now: () => wall, monotonic: () => monotonic } });
    await learn(setup);
    [wall, monotonic] = [START - 86_400_000, 70_000];
    expect(setup.source.lastKnown?.('alice')).toBeUndefined();
    [wall, monotonic] = [START + 70_000, 0];
    expect(setup.source.lastKnown?.('alice')).toBeUndefined();
  });

  test('is nothing where no bound is configured', async () => {
    const setup = remoteSetup();
    await learn(setup);
    setup.clock.advance(10_000);
    expect(setup.source.lastKnown?.('alice')).toBeUndefined();
    expect(setup.source.lookup('alice', NEVER, true)).toBeInstanceOf(Promise);
  });
});

describe('a change that we hear of', () => {
  test('ends the freshness of what is held of the subject, and of nobody else', async () => {
    const setup = remoteSetup();
    await learn(setup, 'alice');
    await learn(setup, 'bob');
    setup.source.invalidate('alice');
    setup.source.invalidate('nobody');
    expect(setup.source.lookup('bob', NEVER)).not.toBeInstanceOf(Promise);
    const again = lookup(setup, 'alice');
    setup.asked.at(-1)?.answer({ attributes: { name: 'Alicia' } });
    expect((await again).attributes).toEqual({ name: 'Alicia' });
    expect(setup.source.lookup('alice', NEVER)).toMatchObject({ attributes: { name: 'Alicia' } });
  });

  test('makes of what is held what is known last, no decision on which may be kept', async () => {
    const setup = remoteSetup({ maxStaleMs: 4_000 });
    await learn(setup);
    setup.clock.advance(1_000);
    setup.source.invalidate('alice');
    expect(setup.source.lastKnown?.('alice')).toMatchObject({ stale: true, freshUntil: START + 1_000 });
    setup.clock.advance(3_999);
    expect(setup.source.lastKnown?.('alice')).toMatchObject({ stale: true });
    setup.clock.advance(1);
    expect(setup.source.lastKnown?.('alice')).toBeUndefined();
  });

  test('about a subject is waited for, even by who takes what is known last: that is for when the source fails', async () => {
    const setup = remoteSetup({ maxStaleMs: 60_000 });
    await learn(setup);
    setup.source.invalidate('alice');
    const answer = setup.source.lookup('alice', NEVER, true);
    expect(answer).toBeInstanceOf(Promise);
    setup.asked[1]?.answer({ attributes: { name: 'Alicia' } });
    expect(await answer).toMatchObject({ attributes: { name: 'Alicia' } });
    setup.clock.advance(10_000);
    expect(setup.source.lookup('alice', NEVER, true)).toMatchObject({ stale: true });
  });

  test('keeps an answer that was on its way from being held: it serves once those who asked before', async () => {
    const setup = remoteSetup();
    const before = lookup(setup);
    setup.clock.advance(10);
    setup.source.invalidate('alice');
    const after = lookup(setup);
    expect(setup.asked).toHaveLength(2);
    setup.asked[1]?.answer({ attributes: { name: 'after' } });
    expect((await after).attributes).toEqual({ name: 'after' });
    setup.asked[0]?.answer({ attributes: { name: 'before' } });
    expect(await before).toMatchObject({ attributes: { name: 'before' }, freshUntil: START });
    expect(setup.source.lookup('alice', NEVER)).toMatchObject({ attributes: { name: 'after' } });
  });

  test('does so for a refresh in the background, too', async () => {
    const setup = remoteSetup({ maxStaleMs: 60_000 });
    await learn(setup);
    setup.clock.advance(9_000);
    void setup.source.lookup('alice', NEVER);
    setup.source.invalidate('alice');
    setup.asked[1]?.answer({ attributes: { name: 'before' } });
    await turn();
    expect(setup.source.lookup('alice', NEVER)).toBeInstanceOf(Promise);
    expect(setup.source.lastKnown?.('alice')).toMatchObject({ attributes: { name: 'alice' } });
  });

  test('of anything ends the freshness of everything, held or on its way', async () => {
    const setup = remoteSetup({ maxStaleMs: 4_000 });
    await learn(setup, 'alice');
    const before = lookup(setup, 'bob');
    setup.clock.advance(1_000);
    setup.source.invalidateAll();
    setup.asked[1]?.answer({});
    expect((await before).freshUntil).toBe(START);
    for (const id of ['alice', 'bob']) expect(setup.source.lookup(id, NEVER)).toBeInstanceOf(Promise);
    setup.asked[3]?.answer({ attributes: { name: 'Bob' } });
    await turn();
    expect(setup.source.lookup('bob', NEVER)).toMatchObject({ attributes: { name: 'Bob' } });
    setup.clock.advance(3_999);
    expect(setup.source.lastKnown?.('alice')).toMatchObject({ stale: true });
    setup.clock.advance(1);
    expect(setup.source.lastKnown?.('alice')).toBeUndefined();
  });

  test('may be missed while we do not hear of changes: then nothing is fresh', async () => {
    let isCurrent = true;
    const setup = remoteSetup({ maxStaleMs: 4_000 }, { isCurrent: () => isCurrent });
    await learn(setup);
    isCurrent = false;
    expect(setup.source.lookup('alice', NEVER, true)).toMatchObject({ stale: true, freshUntil: START });
    expect(setup.source.lookup('alice', NEVER)).toBeInstanceOf(Promise);
    isCurrent = true;
    expect(setup.source.lookup('alice', NEVER)).toMatchObject({ freshUntil: START + 10_000 });
  });

  test('may be missed, and without a bound for what is known last nothing is used', async () => {
    const setup = remoteSetup({}, { isCurrent: () => false });
    await learn(setup);
    expect(setup.source.lastKnown?.('alice')).toBeUndefined();
    expect(setup.source.lookup('alice', NEVER, true)).toBeInstanceOf(Promise);
  });
});
