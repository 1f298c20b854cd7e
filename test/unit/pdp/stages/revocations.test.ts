import { describe, expect, test } from 'vitest';
import { Refusal, refuse } from '../../../../src/pdp/decision.ts';
import { NO_REVOCATIONS } from '../../../../src/pdp/no-revocations.ts';
import type { Revocations } from '../../../../src/pdp/ports.ts';
import { evidenceProblem } from '../../../../src/pdp/refused-evidence.ts';
import { PAYMENT_API } from '../../../support/requests.ts';
import { setUp, sourceOf, userIdentity } from '../decision-point.ts';

const START = Date.UTC(2026, 0, 1);
const READS_RISK =
  '@id("r") permit(principal, action, resource) when { principal is ZeroTrust::User && principal has revoked && !principal.revoked };';

/** Revocations that a test changes. */
function changing(over: Partial<Revocations> = {}) {
  const state: { refusal: Refusal | undefined; current: boolean } = { refusal: undefined, current: true };
  const revocations: Revocations = {
    ...NO_REVOCATIONS,
    refusal: () => state.refusal,
    isCurrent: () => state.current,
    ...over,
  };
  return { state, revocations };
}

describe('who is revoked', () => {
  const revoked = new Refusal('token_revoked', 'user demo/alice: shut off', {}, { kind: 'token' });

  test('is refused before information points are asked, and the record says who it was', async () => {
    const source = sourceOf('user', { revoked: false });
    const { revocations } = changing({ refusal: () => revoked });
    const user = userIdentity('alice');
    const device = { id: 'laptop-1', evidence: 'token_claim' } as const;
    const { decide } = setUp({ policies: READS_RISK, user, device, sources: [source], revocations });
    const trace = await decide();
    expect(trace.decision).toMatchObject({
      reason: 'token_revoked',
      detail: revoked.detail,
      cause: 'revoked',
    });
    expect(trace.refused).toMatchObject({
      kind: 'token',
      proven: { source: { id: PAYMENT_API }, user, device, tokenState: 'invalid' },
    });
    expect(trace).not.toHaveProperty('identities');
    expect(evidenceProblem(trace)).toEqual({ kind: 'token', cause: 'revoked' });
    expect(source.asked).toEqual([]);
  });

  test('keeps a valid token where it is not the token that is revoked', async () => {
    const refusal = new Refusal('identity_revoked', 'device', {}, { kind: 'device' });
    const { revocations } = changing({ refusal: () => refusal });
    const trace = await setUp({ user: userIdentity('alice'), revocations }).decide();
    expect(trace.refused).toMatchObject({ kind: 'device', proven: { tokenState: 'valid' } });
  });

  test('is refused although the answer is in the cache', async () => {
    const { state, revocations } = changing();
    const { decide } = setUp({ revocations });
    await decide();
    expect((await decide()).cache).toMatchObject({ hit: true });
    state.refusal = refuse('identity_revoked', 'shut off');
    expect((await decide()).decision).toMatchObject({ verdict: 'deny', reason: 'identity_revoked' });
  });

  test('is refused where that comes while information points are asked', async () => {
    const { state, revocations } = changing();
    const lookup = async () => {
      state.refusal = revoked;
      return {
        status: 'found',
        attributes: { revoked: false },
        groups: [],
        observedAt: START,
        freshUntil: START + 9,
      } as const;
    };
    const sources = [sourceOf('user', { revoked: false }, { lookup })];
    const { decide } = setUp({ policies: READS_RISK, user: userIdentity('alice'), sources, revocations });
    const trace = await decide();
    expect(trace).toMatchObject({ decision: { reason: 'token_revoked' }, stage: 'evaluate' });
    expect(trace.identities).toMatchObject({ user: { id: 'demo/alice' } });
    expect(evidenceProblem(trace)).toEqual({ kind: 'token', cause: 'revoked' });
    expect(trace).not.toHaveProperty('evaluation');
  });
});

test('a state that cannot be had denies, and the record says whom it was about', async () => {
  const { state, revocations } = changing();
  const { decide } = setUp({ user: userIdentity('alice'), revocations });
  await decide();
  state.refusal = refuse('state_unavailable', 'revocations may have been missed for 61 s');
  const trace = await decide();
  expect(trace.decision).toMatchObject({
    reason: 'state_unavailable',
    detail: expect.stringContaining('61 s'),
  });
  expect(trace.identities).toMatchObject({ user: { id: 'demo/alice' } });
  expect(trace).not.toHaveProperty('refused');
});

test('policies see the identities with what events have said of them', async () => {
  const revised: Revocations['revised'] = ({ user, ...others }) => ({
    ...others,
    ...(user && { user: { ...user, token: { ...user.token, groups: ['interns'] } } }),
  });
  const policies = '@id("g") permit(principal in ZeroTrust::Group::"demo/interns", action, resource);';
  const { revocations } = changing({ revised });
  const { decide } = setUp({ policies, user: userIdentity('alice', { groups: ['staff'] }), revocations });
  expect((await decide()).decision).toMatchObject({ verdict: 'permit', policies: ['g'] });
});

describe('while revocations may have been missed', () => {
  test('no cached answer is used, none is kept, and none is said to be good for later', async () => {
    const { state, revocations } = changing();
    const { decide, cache, clock } = setUp({ revocations });
    state.current = false;
    const trace = await decide();
    expect(trace).toMatchObject({ cache: { hit: false }, decision: { verdict: 'permit' } });
    expect(trace.decision.cacheableUntil).toBe(clock.now());
    expect(cache.statistics().entries).toBe(0);
    state.current = true;
    await decide();
    expect((await decide()).cache).toMatchObject({ hit: true });
    state.current = false;
    expect((await decide()).cache).toEqual({ hit: false });
    state.current = true;
    expect((await decide()).cache).toMatchObject({ hit: true });
  });
});

test('a fault while revocations are looked at denies', async () => {
  const refusal = () => {
    throw new Error('broken');
  };
  const { revocations } = changing({ refusal });
  expect((await setUp({ revocations }).decide()).decision).toMatchObject({
    verdict: 'deny',
    reason: 'internal',
  });
});
