import { describe, expect, test } from 'vitest';
import { accessRequest } from '../../../support/requests.ts';
import { PERMIT_ALL, type Setup, setUp, sourceOf, userIdentity } from '../decision-point.ts';

const OVERFLOW =
  'context has token && context.token has expires_at && context.token.expires_at * 9007199254740991 > 0';
const rich = userIdentity('alice', { expiresAt: (Date.UTC(2100, 0, 1) / 1000) * 1000 });
const decided = async (policies: string, setup: Setup = {}, source?: string) =>
  (await setUp({ policies, ...setup }).decide(accessRequest(source === undefined ? {} : { source })))
    .decision;

describe('a policy that cannot be evaluated', () => {
  test('denies where it is a forbid, even beside a permit', async () => {
    const decision = await decided(
      `${PERMIT_ALL} @id("broken") forbid(principal, action, resource) when { ${OVERFLOW} };`,
      { user: rich },
    );
    expect(decision).toMatchObject({ verdict: 'deny', reason: 'policy_error', policies: ['broken'] });
    expect(decision).not.toHaveProperty('cacheableUntil');
  });

  test('does not permit where it is a permit, and does not undo another', async () => {
    const broken = `@id("broken") permit(principal, action, resource) when { ${OVERFLOW} };`;
    expect(await decided(broken, { user: rich })).toMatchObject({
      verdict: 'deny',
      reason: 'no_permit',
      policies: [],
    });
    expect(await decided(PERMIT_ALL + broken, { user: rich })).toMatchObject({
      verdict: 'permit',
      policies: ['all'],
    });
  });

  test('does not hide a forbid that applies', async () => {
    const both = `@id("broken") forbid(principal, action, resource) when { ${OVERFLOW} }; @id("no") @reason("because") forbid(principal, action, resource);`;
    expect(await decided(both, { user: rich })).toMatchObject({
      reason: 'policy_forbids',
      policies: ['no'],
      message: 'because',
    });
  });

  test('is never cached', async () => {
    const { decide, cache } = setUp({
      policies: `${PERMIT_ALL} @id("broken") permit(principal, action, resource) when { ${OVERFLOW} };`,
      user: rich,
    });
    await decide();
    expect((await decide()).cache).toEqual({ hit: false });
    expect(cache.statistics().entries).toBe(0);
  });
});

describe('a forbid', () => {
  const forbid = (id: string, annotations = '') =>
    `@id("${id}") ${annotations} forbid(principal, action, resource);`;

  test('names its policies, sorted, and their public words once each', async () => {
    const policies =
      PERMIT_ALL +
      forbid('c', '@reason("closed")') +
      forbid('a', '@reason("closed")') +
      forbid('b', '@reason("late")') +
      forbid('d');
    expect(await decided(policies)).toMatchObject({
      reason: 'policy_forbids',
      policies: ['a', 'b', 'c', 'd'],
      message: 'closed; late',
    });
  });

  test('without public words has none', async () => {
    expect(await decided(PERMIT_ALL + forbid('a'))).not.toHaveProperty('message');
  });

  test.each([
    ['authenticate', '@advice("authenticate")', 'authentication_required'],
    ['step_up', '@advice("step_up")', 'step_up_required'],
  ])('with advice to %s says so', async (kind, annotations, reason) => {
    expect(await decided(PERMIT_ALL + forbid('a', annotations))).toMatchObject({ reason, advice: { kind } });
  });

  test('with advice carries the classes that would do', async () => {
    expect(
      await decided(PERMIT_ALL + forbid('a', '@advice("step_up") @acr_values("mfa phr")')),
    ).toMatchObject({
      advice: { kind: 'step_up', acrValues: 'mfa phr' },
    });
  });

  test('advises to authenticate first where both are advised', async () => {
    expect(
      await decided(PERMIT_ALL + forbid('a', '@advice("step_up")') + forbid('b', '@advice("authenticate")')),
    ).toMatchObject({
      reason: 'authentication_required',
      advice: { kind: 'authenticate' },
    });
  });

  test('without advice beside it makes advice useless: a plain deny', async () => {
    const decision = await decided(PERMIT_ALL + forbid('a', '@advice("step_up")') + forbid('b'));
    expect(decision).toMatchObject({ reason: 'policy_forbids' });
    expect(decision).not.toHaveProperty('advice');
  });
});

describe('where nothing permits', () => {
  const nothing = '@id("f") forbid(principal, action, resource) when { false };'.replace(
    'false',
    'context has sni',
  );

  test('somebody unknown is asked to authenticate, if that is possible here', async () => {
    expect(await decided(nothing, {}, '')).toMatchObject({ reason: 'authentication_required', policies: [] });
    expect(await decided(nothing, { acceptsTokens: false }, '')).toMatchObject({ reason: 'no_permit' });
  });

  test('a known workload or user is denied', async () => {
    expect(await decided(nothing)).toMatchObject({ reason: 'no_permit' });
    expect(await decided(nothing, { user: userIdentity('alice') }, '')).toMatchObject({
      reason: 'no_permit',
    });
  });
});

describe('how long an answer may be kept', () => {
  const start = Date.UTC(2026, 0, 1);

  test('is told where it is known', async () => {
    expect(await decided(PERMIT_ALL)).toMatchObject({ cacheableUntil: start + 60_000 });
  });

  test('is not told where caching is off and nothing expires', async () => {
    expect(await decided(PERMIT_ALL, { maxAgeMs: 0 })).not.toHaveProperty('cacheableUntil');
  });

  test('are not for the PEP where each request must prove a key anew, and are where a certificate is shown', async () => {
    const bound = (confirmation: object) => ({ user: userIdentity('alice', { confirmation }) });
    expect(await decided(PERMIT_ALL, bound({ key: 'k' }))).not.toHaveProperty('cacheableUntil');
    expect(await decided(PERMIT_ALL, bound({ certificate: 'c' }))).toHaveProperty('cacheableUntil');
  });

  test('is not told where policies read the clock or a source was omitted', async () => {
    expect(
      await decided(
        '@id("n") permit(principal, action, resource) when { context has now && context.now > datetime("2020-01-01") };',
      ),
    ).not.toHaveProperty('cacheableUntil');
    const source = sourceOf(
      'user',
      { revoked: true },
      { onFailure: 'omit', lookup: () => Promise.reject(new Error('down')) },
    );
    const policies =
      '@id("r") permit(principal, action, resource) unless { principal is ZeroTrust::User && principal has revoked };';
    const decision = await decided(policies, { user: userIdentity('alice'), sources: [source] });
    expect(decision.verdict).toBe('permit');
    expect(decision).not.toHaveProperty('cacheableUntil');
  });
});
