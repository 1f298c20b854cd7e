import { describe, expect, test } from 'vitest';
import { refuse } from '../../../../src/pdp/decision.ts';
import { WEB, accessRequest } from '../../../support/requests.ts';
import { PERMIT_ALL, setUp, sourceOf, userIdentity } from '../decision-point.ts';

const START = Date.UTC(2026, 0, 1);
const READS_REVOKED =
  '@id("live") permit(principal is ZeroTrust::User, action, resource) when { principal has revoked && !principal.revoked };';

describe('an equal question is answered from the cache', () => {
  test('with the same answer, and its provenance', async () => {
    const { decide, clock, records } = setUp();
    const first = await decide();
    clock.advance(10);
    const second = await decide();
    expect(first.cache).toEqual({ hit: false });
    expect(second.cache).toEqual({ hit: true, of: first.id, ageMs: 10 });
    expect(second.id).not.toBe(first.id);
    expect(second.decision).toEqual(first.decision);
    expect(records).toHaveLength(2);
  });

  test('also where it differs in what no policy reads', async () => {
    const { decide } = setUp();
    await decide(accessRequest({ sni: 'a', ip: '10.0.0.1', headers: [['x', '1']] }));
    expect((await decide(accessRequest({ sni: 'b', ip: '10.0.0.2' }))).cache?.hit).toBe(true);
  });

  test('a deny as well as a permit', async () => {
    const { decide } = setUp({ policies: '@id("f") forbid(principal, action, resource);' });
    await decide();
    expect(await decide()).toMatchObject({
      cache: { hit: true },
      decision: { verdict: 'deny', policies: ['f'] },
    });
  });

  test('never where authentication says no', async () => {
    let answer: ReturnType<typeof userIdentity> | ReturnType<typeof refuse> = userIdentity('alice');
    const { decide } = setUp({ user: () => Promise.resolve(answer) });
    expect((await decide()).decision.verdict).toBe('permit');
    answer = refuse('token_expired');
    expect((await decide()).decision).toMatchObject({ verdict: 'deny', reason: 'token_expired' });
  });
});

describe('what came of a question that the policies cannot tell from it is taken', () => {
  test.each([
    ['another workload', { source: WEB }],
    ['another path', { path: '/other' }],
    ['another destination', { destination: WEB }],
  ])('for %s, where they cannot', async (_what, options) => {
    const { decide } = setUp();
    const first = await decide();
    const other = await decide(accessRequest(options));
    expect(other.cache).toEqual({ hit: false, like: first.id });
    expect(other.decision.policies).toEqual(['all']);
  });

  test.each([
    [
      'another workload',
      { source: WEB },
      `forbid(principal == ZeroTrust::Workload::"${WEB}", action, resource)`,
    ],
    [
      'another path',
      { path: '/other' },
      'forbid(principal, action, resource) when { resource.path like "/o*" }',
    ],
    ['another method', { method: 'PUT' }, 'permit(principal, action, resource)'],
    [
      'another destination',
      { destination: WEB },
      `forbid(principal, action, resource in ZeroTrust::Service::"${WEB}")`,
    ],
  ])('but not for %s, where they can', async (_what, options, policy) => {
    const { decide } = setUp({ policies: `${PERMIT_ALL} @id("other") ${policy};` });
    await decide();
    expect((await decide(accessRequest(options))).cache).toEqual({ hit: false });
  });

  test('for as long as evaluations are kept, whatever the inputs of the other one were good for', async () => {
    let user = userIdentity('alice', { expiresAt: START / 1000 + 5 });
    const { decide, clock } = setUp({ user: () => Promise.resolve(user), maxAgeMs: 60_000 });
    const first = await decide();
    user = userIdentity('bob', { expiresAt: START / 1000 + 300 });
    clock.advance(59_999);
    const second = await decide();
    expect(second).toMatchObject({
      cache: { hit: false, like: first.id },
      decision: { cacheableUntil: START + 60_000 },
    });
    user = userIdentity('eve', { expiresAt: START / 1000 + 300 });
    clock.advance(1);
    expect((await decide()).cache).toEqual({ hit: false });
  });

  test('and the next equal question is answered by this one', async () => {
    const { decide } = setUp();
    await decide();
    const other = await decide(accessRequest({ source: WEB }));
    expect((await decide(accessRequest({ source: WEB }))).cache).toEqual({
      hit: true,
      of: other.id,
      ageMs: 0,
    });
  });

  test('never under other policies', async () => {
    const { decide, activate } = setUp();
    await decide();
    activate('@id("none") forbid(principal, action, resource);');
    expect(await decide(accessRequest({ source: WEB }))).toMatchObject({
      cache: { hit: false },
      decision: { verdict: 'deny', policies: ['none'] },
    });
  });

  test('but not of one with a policy that could not be evaluated', async () => {
    const { decide } = setUp({
      policies: `${PERMIT_ALL} @id("errs") permit(principal is ZeroTrust::Workload, action, resource) when { "a" like "b" || 9223372036854775807 + 1 == 2 };`,
    });
    await decide();
    expect((await decide(accessRequest({ path: '/other' }))).cache).toEqual({ hit: false });
  });
});

describe('a cached answer ends', () => {
  const lasts = async (setup: ReturnType<typeof setUp>, ms: number) => {
    await setup.decide();
    setup.clock.advance(ms - 1);
    const before = (await setup.decide()).cache?.hit;
    setup.clock.advance(1);
    return [before, (await setup.decide()).cache?.hit];
  };

  test('at its maximum age', async () => {
    expect(await lasts(setUp({ maxAgeMs: 5000 }), 5000)).toEqual([true, false]);
  });

  test('when the token expires', async () => {
    const user = userIdentity('alice', { expiresAt: START / 1000 + 3 });
    expect(await lasts(setUp({ user }), 3000)).toEqual([true, false]);
  });

  test('when a fact goes stale', async () => {
    const sources = [sourceOf('user', { revoked: false }, { freshUntil: START + 700 })];
    expect(
      await lasts(setUp({ policies: READS_REVOKED, user: userIdentity('alice'), sources }), 700),
    ).toEqual([true, false]);
  });

  test('when the posture of a device goes stale', async () => {
    const device = { id: 'd', evidence: 'assertion', freshUntil: START + 700 } as const;
    expect(await lasts(setUp({ device }), 700)).toEqual([true, false]);
  });

  test('with the snapshot, and comes back with it', async () => {
    const { decide, activate } = setUp();
    await decide();
    activate('@id("none") forbid(principal, action, resource);');
    expect(await decide()).toMatchObject({ cache: { hit: false }, decision: { verdict: 'deny' } });
    activate(PERMIT_ALL);
    expect(await decide()).toMatchObject({ cache: { hit: true }, decision: { verdict: 'permit' } });
  });

  test('when a fact changes', async () => {
    let revoked = false;
    const lookup = () =>
      ({
        status: 'found',
        attributes: { revoked },
        groups: [],
        observedAt: START,
        freshUntil: START + 60_000,
      }) as const;
    const sources = [sourceOf('user', { revoked }, { lookup })];
    const { decide } = setUp({ policies: READS_REVOKED, user: userIdentity('alice'), sources });
    expect((await decide()).decision.verdict).toBe('permit');
    expect((await decide()).cache?.hit).toBe(true);
    revoked = true;
    expect(await decide()).toMatchObject({ cache: { hit: false }, decision: { verdict: 'deny' } });
  });

  test('says of a hit only as much as both the entry and the inputs at hand are good for', async () => {
    let expiresAt = START / 1000 + 50;
    const { decide } = setUp({ user: () => Promise.resolve(userIdentity('alice', { expiresAt })) });
    await decide();
    expiresAt = START / 1000 + 20;
    expect((await decide()).decision).toMatchObject({ cacheableUntil: START + 20_000 });
    expiresAt = START / 1000 + 90;
    expect((await decide()).decision).toMatchObject({ cacheableUntil: START + 50_000 });
  });
});

describe('nothing is cached', () => {
  test.each([
    ['where the cache is off', { maxAgeMs: 0 }],
    [
      'where policies read the clock',
      {
        policies:
          '@id("n") permit(principal, action, resource) when { context has now && context.now > datetime("2020-01-01") };',
      },
    ],
    [
      'where policies may read the clock, through the context as a whole',
      {
        policies:
          '@id("n") permit(principal, action, resource) when { (if context.mtls then context else context).mtls };',
      },
    ],
    [
      'where the token has expired within its skew',
      { user: userIdentity('alice', { expiresAt: START / 1000 - 1 }) },
    ],
    [
      'where a source was omitted',
      {
        policies:
          '@id("r") permit(principal, action, resource) unless { principal is ZeroTrust::User && principal has revoked };',
        user: userIdentity('alice'),
        sources: [
          sourceOf(
            'user',
            { revoked: true },
            { onFailure: 'omit' as const, lookup: () => Promise.reject(new Error('down')) },
          ),
        ],
      },
    ],
  ])('%s', async (_where, setup) => {
    const { decide, cache } = setUp(setup);
    expect((await decide()).decision.verdict).toBe('permit');
    expect((await decide()).cache).toEqual({ hit: false });
    expect(cache.statistics().entries).toBe(0);
  });
});
