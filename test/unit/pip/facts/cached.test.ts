import { describe, expect, test } from 'vitest';
import type { AttributeAnswer } from '../../../../src/pdp/attribute.ts';
import type { AttributeSource } from '../../../../src/pdp/ports.ts';
import { cached } from '../../../../src/pip/facts/cached.ts';
import { START, manualClock } from '../fixture.ts';

const NEVER = new AbortController();

function answerOf(name: string, freshUntil = START + 1_000): AttributeAnswer {
  return { status: 'found', attributes: { name }, groups: [], observedAt: START, freshUntil };
}

/** A source that the test answers for. */
function manualSource() {
  const asked: {
    id: string;
    signal: AbortSignal;
    answer: (answer: AttributeAnswer) => void;
    fail: (error: Error) => void;
  }[] = [];
  const source: AttributeSource = {
    name: 'directory',
    subject: 'user',
    gives: ['name'],
    onFailure: 'deny',
    lookup(id, { signal }) {
      const { promise, resolve, reject } = Promise.withResolvers<AttributeAnswer>();
      asked.push({ id, signal, answer: resolve, fail: reject });
      return promise;
    },
  };
  return { asked, source };
}

function setup(maxEntries = 100) {
  const clock = manualClock();
  const { asked, source } = manualSource();
  return { clock, asked, source: cached(source, { maxEntries, clock }) };
}

describe('cached source', () => {
  test('is the source it decorates in everything but its answers', () => {
    expect(setup().source).toMatchObject({
      name: 'directory',
      subject: 'user',
      gives: ['name'],
      onFailure: 'deny',
    });
  });

  test('keeps an answer until it is stale, and not a millisecond longer', async () => {
    const { clock, asked, source } = setup();
    const first = source.lookup('alice', NEVER);
    asked[0]?.answer(answerOf('Alice'));
    const answer = await first;
    clock.advance(999);
    expect(source.lookup('alice', NEVER)).toBe(answer);
    clock.advance(1);
    const second = source.lookup('alice', NEVER);
    expect(asked).toHaveLength(2);
    asked[1]?.answer(answerOf('Alicia', START + 9_000));
    expect(await second).toMatchObject({ attributes: { name: 'Alicia' } });
  });

  test('keeps that a subject is absent, too', async () => {
    const { asked, source } = setup();
    const first = source.lookup('nobody', NEVER);
    asked[0]?.answer({ ...answerOf(''), status: 'absent' });
    await first;
    expect(await source.lookup('nobody', NEVER)).toMatchObject({ status: 'absent' });
    expect(asked).toHaveLength(1);
  });

  test('asks once for callers at the same time, and never mixes subjects', async () => {
    const { asked, source } = setup();
    const alices = Array.from({ length: 50 }, async () => await source.lookup('alice', NEVER));
    const bob = source.lookup('bob', NEVER);
    expect(asked.map(({ id }) => id)).toEqual(['alice', 'bob']);
    asked[1]?.answer(answerOf('Bob'));
    asked[0]?.answer(answerOf('Alice'));
    expect(new Set((await Promise.all(alices)).map(({ attributes }) => attributes['name']))).toEqual(
      new Set(['Alice']),
    );
    expect(await bob).toMatchObject({ attributes: { name: 'Bob' } });
  });

  test('does not keep failures', async () => {
    const { asked, source } = setup();
    const both = [source.lookup('alice', NEVER), source.lookup('alice', NEVER)];
    asked[0]?.fail(new Error('down'));
    for (const lookup of both) await expect(lookup).rejects.toThrow('down');
    const again = source.lookup('alice', NEVER);
    asked[1]?.answer(answerOf('Alice'));
    expect(await again).toMatchObject({ attributes: { name: 'Alice' } });
  });

  test('treats a source that throws at once like one that fails', async () => {
    const clock = manualClock();
    const { source } = manualSource();
    const throwing: AttributeSource = {
      ...source,
      lookup() {
        throw new Error('broken');
      },
    };
    await expect(cached(throwing, { maxEntries: 1, clock }).lookup('alice', NEVER)).rejects.toThrow('broken');
  });

  test('does not keep an answer that is stale when it comes', async () => {
    const { clock, asked, source } = setup();
    const first = source.lookup('alice', NEVER);
    clock.advance(5_000);
    asked[0]?.answer(answerOf('Alice'));
    expect(await first).toMatchObject({ attributes: { name: 'Alice' } });
    void source.lookup('alice', NEVER);
    expect(asked).toHaveLength(2);
  });

  test("lets one caller give up without failing the others' question", async () => {
    const { asked, source } = setup();
    const impatient = new AbortController();
    const gaveUp = source.lookup('alice', impatient);
    const patient = source.lookup('alice', NEVER);
    impatient.abort(new Error('deadline'));
    await expect(gaveUp).rejects.toThrow('deadline');
    expect(asked[0]?.signal.aborted).toBe(false);
    asked[0]?.answer(answerOf('Alice'));
    expect(await patient).toMatchObject({ attributes: { name: 'Alice' } });
  });

  test('aborts the question when everybody has given up, and asks anew for who comes next', async () => {
    const { asked, source } = setup();
    const controllers = [new AbortController(), new AbortController()];
    const lookups = controllers.map((asker) => source.lookup('alice', asker));
    for (const controller of controllers) controller.abort(new Error('deadline'));
    for (const lookup of lookups) await expect(lookup).rejects.toThrow('deadline');
    expect(asked[0]?.signal.aborted).toBe(true);
    const next = source.lookup('alice', NEVER);
    expect(asked).toHaveLength(2);
    asked[0]?.fail(new Error('aborted'));
    asked[1]?.answer(answerOf('Alice'));
    expect(await next).toMatchObject({ attributes: { name: 'Alice' } });
  });

  test('does not ask for a caller whose time is over', async () => {
    const { asked, source } = setup();
    await expect(source.lookup('alice', { signal: AbortSignal.abort(new Error('late')) })).rejects.toThrow(
      'late',
    );
    expect(asked).toEqual([]);
  });

  test('asks again in time although the wall clock was set back', async () => {
    let [wall, monotonic] = [START, 0];
    const clock = { now: () => wall, monotonic: () => monotonic };
    const { asked, source: inner } = manualSource();
    const source = cached(inner, { maxEntries: 10, clock });
    const first = source.lookup('alice', NEVER);
    asked[0]?.answer(answerOf('Alice'));
    await first;
    [wall, monotonic] = [START - 86_400_000, 2_000];
    void source.lookup('alice', NEVER);
    expect(asked).toHaveLength(2);
  });

  test('is bounded', async () => {
    const { asked, source } = setup(2);
    for (const id of ['a', 'b', 'c']) {
      const lookup = source.lookup(id, NEVER);
      asked.at(-1)?.answer(answerOf(id));
      await lookup;
    }
    expect(await source.lookup('c', NEVER)).toMatchObject({ attributes: { name: 'c' } });
    void source.lookup('a', NEVER);
    expect(asked.map(({ id }) => id)).toEqual(['a', 'b', 'c', 'a']);
  });
});
