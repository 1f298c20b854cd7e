import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { CallScope } from '../../../src/pdp/call-scope.ts';
import { DENY_REASONS, refuse } from '../../../src/pdp/decision.ts';
import { PdpError } from '../../../src/pdp/errors.ts';
import type { DecisionTrace } from '../../../src/pdp/trace.ts';
import { createManualClock } from '../../support/clock.ts';
import { accessRequest } from '../../support/requests.ts';
import { snapshotOf } from '../../support/snapshot.ts';
import { PERMIT_ALL, type Setup, setUp, sourceOf, userIdentity } from './decision-point.ts';

/** Reads a user attribute, so that user sources are asked. */
const READS_REVOKED =
  '@id("live") permit(principal is ZeroTrust::User, action, resource) when { principal has revoked && !principal.revoked };';
const never = () => new Promise<never>(() => undefined);
const rejects = (error: unknown) => () => Promise.reject(error);
const throws = (error: unknown) => () => {
  throw error;
};

const alice = { policies: READS_REVOKED, user: userIdentity('alice') };
const found = {
  status: 'found',
  attributes: { revoked: false },
  groups: [],
  observedAt: 0,
  freshUntil: 0,
} as const;
const userSource = (lookup: Parameters<typeof sourceOf>[2]) => [sourceOf('user', { revoked: false }, lookup)];

describe('a permit', () => {
  test('passes every stage, is recorded once, and is observed', async () => {
    const { decide, records, observed } = setUp({
      ...alice,
      sources: [sourceOf('user', { revoked: false })],
    });
    const trace = await decide();
    expect(trace.decision).toMatchObject({ verdict: 'permit', reason: 'permitted', policies: ['live'] });
    expect(trace.stage).toBe('evaluate');
    expect(Object.keys(trace.timings)).toEqual([
      'decode',
      'authenticate',
      'gather',
      'bind',
      'evaluate',
      'conclude',
      'record',
    ]);
    expect(records).toEqual([trace]);
    expect(observed).toEqual([trace]);
  });

  test('measures each stage with the injected clock, in microseconds', async () => {
    const setup = setUp();
    const slow = setUp({
      recorder: {
        record() {
          slow.clock.advance(3);
          return Promise.resolve();
        },
      },
    });
    expect((await setup.decide()).latencyUs).toBe(0);
    const trace = await slow.decide();
    expect(trace.timings.record).toBe(3000);
    expect(trace.timings.decode).toBe(7);
    expect(trace.latencyUs).toBe(0);
  });
});

describe('every fault is a deny with its reason and one record', () => {
  const cases: [string, Setup, string, string?][] = [
    ['no snapshot', { snapshots: { current: () => undefined } }, 'policies_unavailable'],
    [
      'a snapshot source that throws',
      { snapshots: { current: throws(new Error('disk')) } },
      'internal',
      'Error: disk',
    ],
    [
      'a workload authenticator that throws',
      { workload: { authenticate: throws(new TypeError('bug')) } },
      'internal',
      'TypeError: bug',
    ],
    [
      'a user that is refused',
      { user: refuse('token_expired', 'since long') },
      'token_expired',
      'since long',
    ],
    ['a device that is refused', { device: refuse('device_assertion_invalid') }, 'device_assertion_invalid'],
    [
      'a workload that is refused',
      { workload: { authenticate: () => refuse('evidence_conflict') } },
      'evidence_conflict',
    ],
    [
      'a source that throws',
      { ...alice, sources: userSource({ lookup: throws(new Error('boom')) }) },
      'attribute_unavailable',
      "user-source: boom; 'revoked' must be known",
    ],
    [
      'a source that rejects',
      { ...alice, sources: userSource({ lookup: rejects(new Error('down')) }) },
      'attribute_unavailable',
      "user-source: down; 'revoked' must be known",
    ],
    [
      'a source that throws nothing',
      { ...alice, sources: userSource({ lookup: rejects(undefined) }) },
      'attribute_unavailable',
    ],
    [
      'a source whose attribute the schema refuses',
      { ...alice, sources: userSource({ lookup: () => ({ ...found, attributes: { revoked: 'no' } }) }) },
      'attribute_refused',
    ],
    [
      'a cache that throws on reading',
      { cache: { get: throws(new Error('cache')), set: () => undefined } },
      'internal',
      'Error: cache',
    ],
    [
      'a cache that throws on writing',
      { cache: { get: () => undefined, set: throws(new Error('cache')) } },
      'internal',
      'Error: cache',
    ],
    [
      'something thrown that is no error',
      { workload: { authenticate: throws('a string') } },
      'internal',
      'a string',
    ],
    [
      'a PdpError',
      { workload: { authenticate: throws(new PdpError('overloaded', 'too much')) } },
      'overloaded',
      'too much',
    ],
  ];
  test.each(cases)('%s', async (_what, setup, reason, detail) => {
    const { decide, records, observed } = setUp(setup);
    const trace = await decide();
    expect(trace.decision).toMatchObject({
      verdict: 'deny',
      reason,
      policies: [],
      ...(detail !== undefined && { detail }),
    });
    expect(records).toEqual([trace]);
    expect(observed).toEqual([trace]);
  });

  test.each(DENY_REASONS)('a question refused at the door as %s', async (reason) => {
    const { decide, records } = setUp();
    const trace = await decide(refuse(reason, 'why'));
    expect(trace).toMatchObject({ decision: { verdict: 'deny', reason, detail: 'why' }, stage: 'decode' });
    expect(trace).not.toHaveProperty('request');
    expect(records).toEqual([trace]);
  });

  test('an ambiguous path, with the raw request kept for the record', async () => {
    const { decide, records } = setUp();
    const trace = await decide(accessRequest({ path: '/a/../b' }));
    expect(trace).toMatchObject({
      decision: { reason: 'path_ambiguous' },
      stage: 'decode',
      request: { http: { path: '/a/../b' } },
    });
    expect(trace).not.toHaveProperty('canonical');
    expect(records).toHaveLength(1);
  });

  test('a method that the schema has no action for', async () => {
    expect((await setUp().decide(accessRequest({ method: 'PURGE', path: '/x' }))).decision).toMatchObject({
      reason: 'no_binding',
    });
    expect((await setUp().decide(accessRequest({ method: 'BREW' }))).decision).toMatchObject({
      reason: 'no_binding',
    });
  });

  test('an engine that traps denies that request and not the next', async () => {
    const healthy = snapshotOf(PERMIT_ALL);
    const trapping = { ...healthy, evaluate: throws(new PdpError('engine_fault', 'trapped')) };
    const inForce = [trapping, healthy];
    const { decide, records } = setUp({ snapshots: { current: () => inForce.shift() } });
    expect((await decide()).decision).toMatchObject({ verdict: 'deny', reason: 'engine_fault' });
    expect((await decide()).decision).toMatchObject({ verdict: 'permit' });
    expect(records).toHaveLength(2);
  });
});

describe('time and cancellation', () => {
  test('a hanging source has failed in time for the check to say so', async () => {
    const { decide, records } = setUp({ ...alice, sources: userSource({ lookup: never }) });
    const started = performance.now();
    const trace = await decide(accessRequest(), new CallScope(createManualClock(), 20));
    expect(performance.now() - started).toBeLessThan(1000);
    expect(trace.decision).toMatchObject({
      verdict: 'deny',
      reason: 'attribute_unavailable',
      detail: expect.stringContaining('did not answer in the time that the check has for it') as string,
    });
    expect(trace.stage).toBe('gather');
    expect(trace.decision.snapshot).toMatch(/^sha256:/);
    expect(records).toEqual([trace]);
  });

  test('a hanging source that may be omitted is omitted, before the deadline is over', async () => {
    const policies =
      '@id("all") permit(principal, action, resource) unless { principal is ZeroTrust::User && principal has revoked && principal.revoked };';
    const { decide } = setUp({
      ...alice,
      policies,
      sources: userSource({ lookup: never, onFailure: 'omit' }),
    });
    const trace = await decide(accessRequest(), new CallScope(createManualClock(), 15.9));
    expect(trace.decision).toMatchObject({ verdict: 'permit' });
    expect(trace.omissions).toMatchObject([{ status: 'omitted', leftOut: { revoked: 'unavailable' } }]);
  });

  test('a check that arrives after its deadline is not begun', async () => {
    const source = sourceOf('user', { revoked: false });
    const { decide, clock } = setUp({ ...alice, sources: [source] });
    expect((await decide(accessRequest(), new CallScope(clock, 0))).decision).toMatchObject({
      reason: 'deadline_exceeded',
    });
    expect((await decide(accessRequest(), new CallScope(clock, -5))).decision).toMatchObject({
      reason: 'deadline_exceeded',
    });
    expect(source.asked).toEqual([]);
  });

  test('a permit that comes too late is a deny', async () => {
    const setup = setUp({
      ...alice,
      sources: userSource({
        lookup: () => {
          setup.clock.advance(50);
          return found;
        },
      }),
    });
    expect((await setup.decide()).decision).toMatchObject({ verdict: 'deny', reason: 'deadline_exceeded' });
  });

  test('a permit that comes too late for the evaluation itself is a deny', async () => {
    const setup = setUp({
      cache: {
        get: () => {
          setup.clock.advance(50);
          return undefined;
        },
        set: () => undefined,
      },
    });
    const trace = await setup.decide();
    expect(trace).toMatchObject({
      stage: 'evaluate',
      decision: { verdict: 'deny', reason: 'deadline_exceeded' },
    });
    expect(trace.decision.snapshot).toMatch(/^sha256:/);
  });

  test('a cancelled check ends at once and is recorded', async () => {
    const { decide, clock, records } = setUp({ ...alice, sources: userSource({ lookup: never }) });
    const scope = new CallScope(clock, 50);
    const deciding = decide(accessRequest(), scope);
    scope.cancel();
    expect((await deciding).decision).toMatchObject({ verdict: 'deny', reason: 'cancelled' });
    expect(records).toHaveLength(1);
  });

  test('a check that was cancelled before it began asks nobody', async () => {
    const source = sourceOf('user', { revoked: false });
    const { decide, clock, records } = setUp({ ...alice, sources: [source] });
    const scope = new CallScope(clock, 50);
    scope.cancel();
    expect((await decide(accessRequest(), scope)).decision).toMatchObject({ reason: 'cancelled' });
    expect(source.asked).toEqual([]);
    expect(records).toHaveLength(1);
  });

  test('the record of a cancelled check is awaited', async () => {
    const written = Promise.withResolvers<void>();
    const { decide, clock } = setUp({ recorder: { record: () => written.promise } });
    const scope = new CallScope(clock, 50);
    let done = false;
    const deciding = decide(accessRequest(), scope).then(() => (done = true));
    scope.cancel();
    await new Promise(setImmediate);
    expect(done).toBe(false);
    written.resolve();
    await deciding;
  });
});

describe('the record', () => {
  test.each([
    ['rejects', rejects(new Error('disk full')), 'disk full'],
    ['throws', throws(new Error('disk full')), 'disk full'],
    ['rejects with nothing', rejects(undefined), undefined],
  ])('that %s makes a permit a deny', async (_how, record, detail) => {
    const { decide, observed } = setUp({ recorder: { record } });
    const trace = await decide();
    expect(trace).toMatchObject({
      stage: 'record',
      decision: { verdict: 'deny', reason: 'audit_unavailable', policies: [] },
    });
    if (detail !== undefined) expect(trace.decision).toMatchObject({ detail });
    expect(trace.decision.snapshot).toMatch(/^sha256:/);
    expect(observed).toEqual([trace]);
  });

  test('is there before the answer', async () => {
    const order: string[] = [];
    const { decide } = setUp({
      recorder: {
        async record() {
          await new Promise(setImmediate);
          order.push('recorded');
        },
      },
      observer: { checked: () => void order.push('observed') },
    });
    await decide();
    expect([...order, 'answered']).toEqual(['recorded', 'observed', 'answered']);
  });
});

test('an observer that throws changes no answer', async () => {
  const { decide, records } = setUp({ observer: { checked: throws(new Error('metrics')) } });
  expect((await decide()).decision.verdict).toBe('permit');
  expect(records).toHaveLength(1);
});

test('never rejects and records exactly once, whatever fails together', async () => {
  const fault = fc.constantFrom<unknown>(
    new Error('x'),
    new PdpError('internal', 'x'),
    'text',
    undefined,
    null,
    42,
    {},
  );
  const way = fc.constantFrom('fine', 'throws', 'rejects');
  const act = <T>(how: string, error: unknown, value: T): T | Promise<never> => {
    if (how === 'throws') throw error;
    return how === 'rejects' ? Promise.reject(error) : value;
  };
  await fc.assert(
    fc.asyncProperty(fault, way, way, way, way, async (error, user, device, source, record) => {
      let recorded = 0;
      const { decide } = setUp({
        ...alice,
        sources: userSource({ lookup: () => act(source, error, found) }),
        recorder: {
          record() {
            recorded += 1;
            return act(record, error, Promise.resolve());
          },
        },
        user: () => act(user, error, Promise.resolve(userIdentity('alice'))),
        device: () => act(device, error, Promise.resolve(undefined)),
      });
      const trace: DecisionTrace = await decide();
      const allFine = [user, device, source, record].every((how) => how === 'fine');
      expect(trace.decision.verdict).toBe(allFine ? 'permit' : 'deny');
      expect(recorded).toBe(1);
    }),
    { numRuns: 60 },
  );
});
