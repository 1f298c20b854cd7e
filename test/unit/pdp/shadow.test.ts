import { describe, expect, onTestFinished, test } from 'vitest';
import { CallScope } from '../../../src/pdp/call-scope.ts';
import { createDecisionCache } from '../../../src/pdp/decision-cache.ts';
import { refuse } from '../../../src/pdp/decision.ts';
import { PdpError } from '../../../src/pdp/errors.ts';
import { HeaderFields } from '../../../src/pdp/header-fields.ts';
import { NO_REVOCATIONS } from '../../../src/pdp/no-revocations.ts';
import type { PolicySnapshot } from '../../../src/pdp/policy-snapshot.ts';
import type { AttributeSource } from '../../../src/pdp/ports.ts';
import { Shadow } from '../../../src/pdp/shadow.ts';
import { outcomeOf } from '../../../src/pdp/shadow-report.ts';
import type { DecisionTrace } from '../../../src/pdp/trace.ts';
import { PAYMENT_API, accessRequest } from '../../support/requests.ts';
import { SAMPLE_SCHEMA, snapshotOf } from '../../support/snapshot.ts';
import { PERMIT_ALL, type Setup, setUp, sourceOf, userIdentity } from './decision-point.ts';

const FORBID_ALL = '@id("none") forbid(principal, action, resource);';
const GROUP_ONLY = '@id("g") permit(principal in ZeroTrust::WorkloadGroup::"g", action, resource);';
const OTHER_PERMIT = '@id("other") permit(principal, action, resource);';

/** A decision point with a candidate beside what is in force. */
function shadowed(
  candidate: string | PolicySnapshot | undefined,
  {
    active = PERMIT_ALL,
    sample = 1,
    maxWaiting = 1000,
    sources = [] as AttributeSource[],
    record = undefined as (() => Promise<void>) | undefined,
    ...setup
  }: Setup & { active?: string; sample?: number; maxWaiting?: number; record?: () => Promise<void> } = {},
) {
  let inForce: PolicySnapshot | undefined = snapshotOf(active);
  let beside = typeof candidate === 'string' ? snapshotOf(candidate) : candidate;
  const outcomes: string[] = [];
  const records: DecisionTrace[] = [];
  const errors: string[] = [];
  const cache = createDecisionCache(1024 * 1024);
  const enforcedCache = createDecisionCache(1024 * 1024);
  const beneath: { shadow?: Shadow } = {};
  const point = setUp({
    ...setup,
    sources,
    cache: enforcedCache,
    snapshots: { current: () => inForce },
    observer: { checked: (trace) => beneath.shadow?.observe(trace) },
  });
  const used = new Shadow({
    clock: point.clock,
    cache,
    maxAgeMs: 60_000,
    acceptsTokens: true,
    revocations: NO_REVOCATIONS,
    sources,
    active: { current: () => inForce },
    candidate: { current: () => beside },
    recorder: {
      record: (trace) => {
        records.push(trace);
        return record?.() ?? Promise.resolve();
      },
    },
    log: {
      info: () => undefined,
      warn: () => undefined,
      error: (_fields, message) => void errors.push(message),
    },
    sample,
    maxWaiting,
    onOutcome: (outcome) => void outcomes.push(outcome),
  });
  beneath.shadow = used;
  onTestFinished(() => used[Symbol.asyncDispose]());
  return {
    ...point,
    shadow: used,
    outcomes,
    shadowRecords: records,
    errors,
    caches: { own: cache, enforced: enforcedCache },
    swap: () => void ([inForce, beside] = [beside, inForce]),
    replace: (policies: string | undefined) =>
      void (beside = policies === undefined ? undefined : snapshotOf(policies)),
  };
}

describe('what would change is told apart', () => {
  test.each([
    [
      'unchanged',
      PERMIT_ALL,
      `${PERMIT_ALL}\n@id("never") permit(principal, action, resource) when { context has http && context.http.path == "/never" };`,
    ],
    ['reclassified', PERMIT_ALL, OTHER_PERMIT],
    ['would_lose', PERMIT_ALL, FORBID_ALL],
    ['would_gain', FORBID_ALL, PERMIT_ALL],
  ])('%s', async (outcome, active, candidate) => {
    const { decide, shadow, outcomes, shadowRecords } = shadowed(candidate, { active });
    const answered = await decide();
    await shadow.settled();
    expect(outcomes).toEqual([outcome]);
    const report = shadow.report();
    expect(report).toMatchObject({
      compared: 1,
      skipped: 0,
      truncated: false,
      active: snapshotOf(active).digest,
      candidate: snapshotOf(candidate).digest,
    });
    expect(report.outcomes).toEqual({
      unchanged: 0,
      reclassified: 0,
      would_gain: 0,
      would_lose: 0,
      failed: 0,
      [outcome]: 1,
    });
    expect(report.rows).toHaveLength(outcome === 'unchanged' ? 0 : 1);
    expect(shadowRecords).toMatchObject([
      { enforced: false, shadowOf: answered.id, decision: { snapshot: snapshotOf(candidate).digest } },
    ]);
  });
});

test('who gets in is what counts: a deny on an observed route is access that a candidate takes away', () => {
  const deny = { verdict: 'deny', reason: 'no_permit', policies: [] } as const;
  const observed = { ...deny, enforced: false } as const;
  const permitted = { verdict: 'permit', reason: 'permitted', policies: ['a'] } as const;
  expect(outcomeOf(observed, deny, false)).toBe('would_lose');
  expect(outcomeOf(deny, observed, false)).toBe('would_gain');
  expect(outcomeOf(observed, permitted, false)).toBe('reclassified');
  expect(outcomeOf(observed, observed, false)).toBe('unchanged');
  expect(outcomeOf(permitted, deny, true)).toBe('failed');
});

test('a record made in shadow has an id of its own: the answer keeps the only record of its id', async () => {
  const { decide, shadow, shadowRecords, records } = shadowed(FORBID_ALL);
  const answered = await decide();
  await shadow.settled();
  expect(records.map(({ id, enforced }) => [id, enforced])).toEqual([[answered.id, undefined]]);
  expect(shadowRecords[0]?.id).not.toBe(answered.id);
  expect(shadowRecords[0]).toMatchObject({ canonical: { path: '/internal/entries' }, stage: 'evaluate' });
});

test('rows are by principal, action, resource type and policies, most frequent first', async () => {
  const { decide, shadow } = shadowed(FORBID_ALL);
  await decide(accessRequest({ method: 'GET' }));
  for (let n = 0; n < 3; n++) await decide(accessRequest({ path: `/entries/${n}` }));
  await shadow.settled();
  expect(shadow.report().rows).toMatchObject([
    {
      count: 3,
      outcome: 'would_lose',
      action: 'ZeroTrust::Action::"POST"',
      resource_type: 'ZeroTrust::Endpoint',
      policies: ['all', 'none'],
      was: 'ALLOW permitted',
      would_be: 'DENY policy_forbids',
    },
    { count: 1, action: 'ZeroTrust::Action::"GET"' },
  ]);
  expect(shadow.report().rows[0]?.principal).toMatch(/^ZeroTrust::Workload::"spiffe:/);
});

test('holds no more rows than a thousand, and says so', async () => {
  let user = 0;
  const { decide, shadow } = shadowed(FORBID_ALL, {
    user: () => Promise.resolve(userIdentity(`u-${user++}`)),
  });
  for (let n = 0; n < 1100; n++) {
    await decide();
    if (n % 100 === 0) await shadow.settled();
  }
  await shadow.settled();
  const { rows, truncated, outcomes } = shadow.report();
  expect([rows.length, truncated, outcomes.would_lose]).toEqual([1000, true, 1100]);
});

describe('an answer is neither changed nor delayed', () => {
  const faulty = (evaluate: PolicySnapshot['evaluate']): PolicySnapshot => {
    const snapshot = snapshotOf(OTHER_PERMIT);
    return new Proxy(snapshot, {
      get: (target, key) => (key === 'evaluate' ? evaluate : Reflect.get(target, key)),
    });
  };

  test.each<[string, () => never]>([
    [
      'traps',
      () => {
        throw new PdpError('engine_fault', 'unreachable executed');
      },
    ],
    [
      'throws',
      () => {
        throw new TypeError('broken');
      },
    ],
  ])('by a candidate that %s', async (_what, evaluate) => {
    const { decide, shadow, outcomes, errors } = shadowed(faulty(evaluate));
    for (let n = 0; n < 3; n++)
      expect((await decide()).decision).toMatchObject({ verdict: 'permit', policies: ['all'] });
    await shadow.settled();
    expect(outcomes).toEqual(['failed', 'failed', 'failed']);
    expect(errors).toEqual([]);
  });

  test('by an information point that hangs when the candidate asks it', async () => {
    const asked = Promise.withResolvers<void>();
    const lookup = (): Promise<never> => {
      asked.resolve();
      return new Promise(() => undefined);
    };
    const hanging = sourceOf('workload', {}, { gives: ['groups'], lookup });
    const { decide, shadow, outcomes } = shadowed(GROUP_ONLY, { sources: [hanging], maxWaiting: 2 });
    expect((await decide()).decision.verdict).toBe('permit');
    await asked.promise;
    for (let n = 0; n < 5; n++) expect((await decide()).decision.verdict).toBe('permit');
    expect(outcomes).toEqual(['skipped', 'skipped', 'skipped']);
    expect(shadow.report()).toMatchObject({ compared: 0, skipped: 3 });
    // Nor does it hold up the end of the process.
    await shadow[Symbol.asyncDispose]();
    expect(outcomes).toHaveLength(3);
  });

  test('for longer than a second, by which time the comparison has failed', async () => {
    const hanging = sourceOf(
      'workload',
      {},
      { gives: ['groups'], lookup: () => new Promise(() => undefined) },
    );
    const { decide, shadow, outcomes } = shadowed(GROUP_ONLY, { sources: [hanging] });
    await decide();
    await shadow.settled();
    expect(outcomes).toEqual(['failed']);
  });

  test('by a log that cannot be written, which is told once', async () => {
    const { decide, shadow, outcomes, errors } = shadowed(FORBID_ALL, {
      record: () => Promise.reject(new Error('disk full')),
    });
    for (let n = 0; n < 3; n++) expect((await decide()).decision.verdict).toBe('permit');
    await shadow.settled();
    expect(outcomes).toHaveLength(3);
    expect(errors).toEqual(['shadow evaluation: disk full']);
  });

  test('before it is given: nothing is evaluated in the turn of the check', async () => {
    let evaluated = 0;
    const candidate = faulty(() => {
      evaluated += 1;
      return { verdict: 'permit', policies: ['other'], errors: [] };
    });
    const { decide, shadow } = shadowed(candidate);
    await decide();
    expect(evaluated).toBe(0);
    await shadow.settled();
    expect(evaluated).toBe(1);
  });
});

test('has a cache of its own: what answers is not pushed out by what does not', async () => {
  const { decide, shadow, caches } = shadowed(OTHER_PERMIT);
  for (let n = 0; n < 3; n++) await decide();
  await shadow.settled();
  // One for the question, one for all that are like it.
  expect([caches.own.statistics().entries, caches.enforced.statistics().entries]).toEqual([2, 2]);
});

test('a source is not asked again for what it said, and a failed one fails again', async () => {
  const groups = sourceOf('workload', {}, { groups: [] as never, gives: ['groups'] });
  const failing = {
    ...sourceOf('workload', {}, { gives: ['groups'], onFailure: 'omit' as const }),
    name: 'failing',
    asked: [] as string[],
  };
  failing.lookup = (id: string) => {
    failing.asked.push(id);
    throw new Error('down');
  };
  const named = (id: string) =>
    `@id("${id}") permit(principal, action, resource) unless { principal in ZeroTrust::WorkloadGroup::"g" };`;
  const { decide, shadow, outcomes, shadowRecords } = shadowed(named('b'), {
    active: named('a'),
    sources: [groups, failing],
  });
  await decide();
  await shadow.settled();
  expect(outcomes).toEqual(['reclassified']);
  expect([groups.asked.length, failing.asked.length]).toEqual([1, 1]);
  expect(shadowRecords[0]?.omissions).toMatchObject([{ source: 'failing', detail: 'failing: down' }]);
});

describe('what a source said last, having failed, is said again', () => {
  const READS_RISK = (id: string) =>
    `@id("${id}") permit(principal, action, resource) unless { context has device && context.device has risk && context.device.risk == "high" };`;
  const device = { id: 'mdm/d', evidence: 'token_claim' } as const;
  const last = () => ({
    status: 'found' as const,
    attributes: { risk: 'low', compliant: true },
    groups: [],
    observedAt: Date.UTC(2026, 0, 1) - 5000,
    freshUntil: Date.UTC(2026, 0, 1) - 1000,
    stale: true as const,
  });
  const failing = (asked: string[]) => ({
    ...sourceOf('device', {}, { gives: ['risk', 'compliant'] }),
    onFailureOf: new Map([['risk', 'last_known' as const]]),
    lookup(id: string) {
      asked.push(id);
      throw new Error('down');
    },
    lastKnown: last,
  });

  test('to a candidate for which it will do, without the source being asked', async () => {
    const asked: string[] = [];
    const setup = { active: READS_RISK('a'), device, sources: [failing(asked)] };
    const { decide, shadow, outcomes, shadowRecords } = shadowed(READS_RISK('b'), setup);
    await decide();
    await shadow.settled();
    expect([asked.length, outcomes]).toEqual([1, ['reclassified']]);
    expect(shadowRecords[0]?.facts).toMatchObject([{ stale: true, failure: 'down' }]);
  });

  test('and denies a candidate that reads what must be known', async () => {
    const asked: string[] = [];
    const setup = { active: READS_RISK('a'), device, sources: [failing(asked)] };
    const { decide, shadow, outcomes } = shadowed(
      `${READS_RISK('b')} @id("c") permit(principal, action, resource) when { context has device && context.device has compliant && context.device.compliant };`,
      setup,
    );
    await decide();
    await shadow.settled();
    expect([asked.length, outcomes]).toEqual([1, ['failed']]);
  });
});

test.each([
  ['omit', 'no_permit'],
  ['deny', 'attribute_refused'],
] as const)(
  'what is too old by the schema of a candidate means what its source says: %s',
  async (onFailure, reason) => {
    const policies =
      '@id("low") permit(principal, action, resource) when { context has device && context.device has risk && context.device.risk == "low" };';
    const schema = SAMPLE_SCHEMA.replace(/(firewall\?: Bool,\s+)/, '$1@max_age("1m") ');
    const observedAt = Date.UTC(2026, 0, 1) - 60_001;
    const says = { status: 'found', attributes: { risk: 'low' }, groups: [], observedAt } as const;
    const source = {
      ...sourceOf('device', { risk: 'low' }, { onFailure }),
      lookup: () => ({ ...says, freshUntil: observedAt + 120_000 }),
    };
    const device = { id: 'mdm/d', evidence: 'token_claim' } as const;
    const setup = { active: policies, device, sources: [source] };
    const { decide, shadow, shadowRecords } = shadowed(snapshotOf(policies, schema), setup);
    expect((await decide()).decision.reason).toBe('permitted');
    await shadow.settled();
    expect(shadowRecords.map(({ decision }) => decision.reason)).toEqual([reason]);
  },
);

test('a stale answer that does not do for the candidate is asked for anew', async () => {
  const reads = (name: string, id: string) =>
    `@id("${id}") permit(principal, action, resource) unless { context has device && context.device has ${name} && context.device.${name} };`;
  const asked: (boolean | undefined)[] = [];
  const source = {
    ...sourceOf('device', { compliant: false, managed: false }),
    onFailureOf: new Map([['compliant', 'last_known' as const]]),
    lookup(_id: string, _asker: unknown, stale?: boolean) {
      asked.push(stale);
      const [observedAt, freshUntil] = [Date.UTC(2026, 0, 1), Date.UTC(2026, 0, 1) + 1000];
      const attributes = { compliant: false, managed: false };
      const answer = { status: 'found' as const, attributes, groups: [], observedAt, freshUntil };
      return stale ? { ...answer, stale } : answer;
    },
  };
  const device = { id: 'mdm/d', evidence: 'token_claim' } as const;
  const { decide, shadow, outcomes } = shadowed(reads('managed', 'b'), {
    active: reads('compliant', 'a'),
    device,
    sources: [source],
  });
  await decide();
  await shadow.settled();
  expect([asked, outcomes]).toEqual([[true, false], ['reclassified']]);
});

test('what the candidate reads beyond the policies in force is asked for', async () => {
  const groups = sourceOf('workload', {}, { gives: ['groups'] });
  const { decide, shadow, outcomes } = shadowed(GROUP_ONLY, { sources: [groups] });
  await decide();
  await shadow.settled();
  expect([groups.asked.length, outcomes]).toEqual([1, ['would_lose']]);
});

describe('is not compared:', () => {
  test('a check without a candidate', async () => {
    const { decide, shadow, outcomes } = shadowed(undefined);
    await decide();
    await shadow.settled();
    expect([outcomes, shadow.report().compared]).toEqual([[], 0]);
    expect(shadow.report()).not.toHaveProperty('candidate');
  });

  test('a candidate that is what is in force', async () => {
    const { decide, shadow, outcomes } = shadowed(PERMIT_ALL);
    await decide();
    await shadow.settled();
    expect(outcomes).toEqual([]);
  });

  test('a check that did not get past authentication, or failed for a fault of ours', async () => {
    const bad = shadowed(FORBID_ALL, { user: refuse('token_expired') });
    expect((await bad.decide()).decision.reason).toBe('token_expired');
    const device = shadowed(FORBID_ALL, { device: refuse('device_assertion_invalid') });
    const { refused } = await device.decide();
    // Who the workload is was proven, and still nobody was authenticated.
    expect(refused?.proven?.source?.id).toBe(PAYMENT_API);
    await device.shadow.settled();
    expect(device.outcomes).toEqual([]);
    const broken = shadowed(FORBID_ALL, { recorder: { record: () => Promise.reject(new Error('full')) } });
    expect((await broken.decide()).decision.reason).toBe('audit_unavailable');
    await Promise.all([bad.shadow.settled(), broken.shadow.settled()]);
    expect([bad.outcomes, broken.outcomes]).toEqual([[], []]);
  });

  test('what is not sampled', async () => {
    const { decide, shadow, outcomes } = shadowed(FORBID_ALL, { sample: 0 });
    for (let n = 0; n < 20; n++) await decide();
    await shadow.settled();
    expect(outcomes).toEqual([]);
  });

  test('an answer of policies that were replaced before its turn', async () => {
    const { decide, shadow, outcomes, swap } = shadowed(FORBID_ALL);
    await decide();
    swap();
    await shadow.settled();
    expect(outcomes).toEqual([]);
  });
});

test('counting begins anew with another candidate, and with another snapshot in force', async () => {
  const { decide, shadow, replace, swap, clock } = shadowed(FORBID_ALL);
  await decide();
  await shadow.settled();
  expect(shadow.report().compared).toBe(1);
  clock.advance(1000);
  replace(OTHER_PERMIT);
  expect(shadow.report()).toMatchObject({ compared: 0, since: new Date(clock.now()).toISOString() });
  await decide();
  await shadow.settled();
  expect(shadow.report().compared).toBe(1);
  swap();
  expect(shadow.report().compared).toBe(0);
  await decide();
  await shadow.settled();
  expect(shadow.report()).toMatchObject({ compared: 1, outcomes: { reclassified: 1 } });
});

test('ends with the comparison under way and drops the rest', async () => {
  const { decide, shadow, outcomes } = shadowed(FORBID_ALL);
  for (let n = 0; n < 10; n++) await decide();
  await shadow[Symbol.asyncDispose]();
  const ended = outcomes.length;
  await decide();
  await shadow.settled();
  expect(outcomes.length).toBe(ended);
});

describe('a question about entities', () => {
  const question = {
    subject: { uid: { type: 'ZeroTrust::User', id: 'demo/alice' }, properties: {}, subjects: [] },
    credentials: new HeaderFields([], false),
    action: { type: 'ZeroTrust::Action', id: 'GET' },
    resource: {
      uid: { type: 'ZeroTrust::Endpoint', id: 'api /x' },
      properties: { host: 'api' },
      subjects: [],
    },
    context: {},
    asserted: ['subject', 'resource.host'],
  };

  test('is compared like any other', async () => {
    const { decide, shadow, outcomes, shadowRecords } = shadowed(FORBID_ALL);
    const answered = await decide(question);
    await shadow.settled();
    expect(answered.decision.verdict).toBe('permit');
    expect(outcomes).toEqual(['would_lose']);
    expect(shadowRecords[0]).toMatchObject({ enforced: false, shadowOf: answered.id, asked: question });
  });

  test('is not compared where it was only to be explained: nobody acts on it', async () => {
    const { point, clock, shadow, outcomes } = shadowed(FORBID_ALL);
    const envelope = {
      id: 'explained',
      surface: 'check' as const,
      pep: { address: 'test' },
      receivedAt: clock.now(),
      startedAt: clock.monotonic(),
      explained: true as const,
    };
    using scope = new CallScope(clock, 50);
    await point.decide({ envelope, question, scope, decodeUs: 0 });
    await shadow.settled();
    expect(outcomes).toEqual([]);
  });
});
