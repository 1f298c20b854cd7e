import { once } from 'node:events';
import { describe, expect, test } from 'vitest';
import { abortable } from '../../../src/pdp/abortable.ts';
import { CallScope } from '../../../src/pdp/call-scope.ts';
import { createManualClock } from '../../support/clock.ts';

describe('a scope', () => {
  test('is interrupted from its deadline on', () => {
    const clock = createManualClock();
    using scope = new CallScope(clock, 50);
    clock.advance(49.999);
    expect(scope.interruption()).toBeUndefined();
    clock.advance(0.001);
    expect(scope.interruption()).toMatchObject({ refusal: 'deadline_exceeded' });
  });

  test.each([0, -1, Number.NEGATIVE_INFINITY])('with %d ms left is interrupted at once', (timeoutMs) => {
    using scope = new CallScope(createManualClock(), timeoutMs);
    expect(scope.interruption()).toMatchObject({ refusal: 'deadline_exceeded' });
  });

  test('is interrupted by cancelling, which is what it says from then on', () => {
    const clock = createManualClock();
    using scope = new CallScope(clock, 50);
    scope.cancel();
    scope.cancel();
    clock.advance(100);
    expect(scope.interruption()).toMatchObject({ refusal: 'cancelled' });
  });

  test('has one signal, which cancelling aborts', () => {
    using scope = new CallScope(createManualClock(), 50_000);
    const { signal } = scope;
    expect(scope.signal).toBe(signal);
    expect(signal.aborted).toBe(false);
    scope.cancel();
    expect(signal.aborted).toBe(true);
  });

  test('waits for facts for less long than it may go on, and for them too until it is cancelled', async () => {
    using scope = new CallScope(createManualClock(), 100);
    const facts = scope.facts.signal;
    expect(scope.facts.signal).toBe(facts);
    await once(facts, 'abort');
    expect(facts.reason).toMatchObject({ name: 'TimeoutError' });
    expect(scope.interruption()).toBeUndefined();
    using gone = new CallScope(createManualClock(), 50_000);
    const waiting = gone.facts.signal;
    gone.cancel();
    expect(waiting.reason).toMatchObject({ message: 'cancelled' });
    using late = new CallScope(createManualClock(), 50_000);
    late.cancel();
    expect(late.facts.signal.aborted).toBe(true);
  });

  test('means nothing by a cancellation that comes after its end', () => {
    const scope = new CallScope(createManualClock(), 50_000);
    const { signal } = scope;
    scope[Symbol.dispose]();
    scope.cancel();
    expect(signal.aborted).toBe(false);
    expect(scope.interruption()).toBeUndefined();
  });

  test('that was cancelled before anybody looked has an aborted signal', () => {
    using scope = new CallScope(createManualClock(), 50_000);
    scope.cancel();
    expect(scope.signal.aborted).toBe(true);
  });

  test('aborts its signal at the deadline, and then says why, even where the clock is a moment behind the timer', async () => {
    using scope = new CallScope(createManualClock(), 5);
    await once(scope.signal, 'abort');
    expect(scope.interruption()).toMatchObject({ refusal: 'deadline_exceeded' });
  });

  test('leaves no timer behind', () => {
    const before = process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length;
    {
      using scope = new CallScope(createManualClock(), 50_000);
      expect(scope.signal.aborted).toBe(false);
    }
    expect(process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length).toBe(before);
  });
});

describe('the scope of one question out of many', () => {
  test('ends with the whole by its deadline', () => {
    const clock = createManualClock();
    using whole = new CallScope(clock, 50);
    clock.advance(20);
    using part = whole.part();
    clock.advance(29);
    expect(part.interruption()).toBeUndefined();
    clock.advance(1);
    expect(part.interruption()).toMatchObject({ refusal: 'deadline_exceeded' });
  });

  test('is cancelled with the whole, whenever it began', () => {
    using whole = new CallScope(createManualClock(), 50);
    using before = whole.part();
    const { signal } = before;
    whole.cancel();
    using after = whole.part();
    expect(signal.aborted).toBe(true);
    for (const part of [before, after]) expect(part.interruption()).toMatchObject({ refusal: 'cancelled' });
  });

  test('that has ended is not cancelled any more', () => {
    using whole = new CallScope(createManualClock(), 50);
    const part = whole.part();
    part[Symbol.dispose]();
    whole.cancel();
    expect(part.interruption()).toBeUndefined();
  });

  test('has a time for facts of its own, and tells when they did not come in it', async () => {
    const clock = { now: () => Date.now(), monotonic: () => performance.now() };
    using whole = new CallScope(clock, 20);
    using part = whole.part();
    const { signal } = part.facts;
    expect(part.factsWereLate).toBe(false);
    await once(signal, 'abort');
    expect([part.factsWereLate, whole.factsWereLate]).toEqual([true, false]);
  });
});

describe('waiting within a signal', () => {
  test('gives what the work gives', async () => {
    const { signal } = new AbortController();
    await expect(abortable(Promise.resolve(1), signal)).resolves.toBe(1);
    await expect(abortable(Promise.reject(new Error('x')), signal)).rejects.toThrow('x');
  });

  test('ends with the reason of the signal, and swallows what comes after', async () => {
    const controller = new AbortController();
    const work = Promise.withResolvers<never>();
    const waiting = abortable(work.promise, controller.signal);
    controller.abort(new Error('enough'));
    await expect(waiting).rejects.toThrow('enough');
    work.reject(new Error('too late'));
    await new Promise(setImmediate);
  });

  test('does not begin under an aborted signal', async () => {
    const late = Promise.reject(new Error('too late'));
    await expect(abortable(late, AbortSignal.abort(new Error('enough')))).rejects.toThrow('enough');
  });
});
