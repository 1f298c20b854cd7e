import { describe, expect, test } from 'vitest';
import { refuse } from '../../../../src/pdp/decision.ts';
import { PAYMENT_API } from '../../../support/requests.ts';
import { setUp, userIdentity } from '../decision-point.ts';

test('identities are what was proven, and a token is absent or valid', async () => {
  const device = { id: 'laptop-1', evidence: 'token_claim' } as const;
  expect((await setUp().decide()).identities).toMatchObject({
    source: { id: PAYMENT_API },
    tokenState: 'absent',
  });
  const user = userIdentity('alice');
  expect((await setUp({ user, device }).decide()).identities).toMatchObject({
    user,
    device,
    tokenState: 'valid',
  });
});

test('a bad token never becomes no token, and the device is not even looked at', async () => {
  let asked = 0;
  const device = () => {
    asked += 1;
    return Promise.resolve(undefined);
  };
  const trace = await setUp({ user: refuse('token_signature_invalid'), device }).decide();
  expect(trace.decision).toMatchObject({ verdict: 'deny', reason: 'token_signature_invalid' });
  expect(trace).not.toHaveProperty('identities');
  expect(asked).toBe(0);
});

describe('evidence that is refused leaves in the trace what was proven before', () => {
  const source = { id: PAYMENT_API, evidence: 'principal' };

  test.each([
    ['token_signature_invalid', 'invalid', 'signature'],
    ['token_expired', 'invalid', 'expired'],
    ['credentials_conflict', 'invalid', 'conflict'],
    ['token_unverifiable', 'unverifiable', 'unavailable'],
  ] as const)(
    'a token that is refused with %s: the workload, and the token is %s',
    async (reason, tokenState, cause) => {
      const { decision, refused, identities } = await setUp({ user: refuse(reason) }).decide();
      expect(decision).toMatchObject({ reason, cause });
      expect(refused).toMatchObject({ kind: 'token', proven: { source, tokenState } });
      expect(refused?.proven).not.toHaveProperty('user');
      expect(identities).toBeUndefined();
    },
  );

  test('a device assertion: the workload and the user', async () => {
    const user = userIdentity('alice');
    const device = refuse('device_assertion_invalid', 'too old', { cause: 'age', evidence: 'sha256:x' });
    const { decision, refused, identities } = await setUp({ user, device }).decide();
    expect(decision).toMatchObject({ detail: 'too old', cause: 'age', evidence: 'sha256:x' });
    expect(refused).toMatchObject({ kind: 'device', proven: { source, user, tokenState: 'valid' } });
    expect(identities).toBeUndefined();
    const { refused: without } = await setUp({ device }).decide();
    expect(without).toMatchObject({ proven: { tokenState: 'absent' } });
  });

  test('a workload: nobody', async () => {
    const workload = { authenticate: () => refuse('workload_evidence_invalid') };
    const { refused } = await setUp({ workload, user: userIdentity('alice') }).decide();
    expect(refused).toEqual({ kind: 'workload' });
  });

  test('an answer that was reached has none of it', async () => {
    expect(await setUp({ user: userIdentity('alice') }).decide()).not.toHaveProperty('refused');
    expect(await setUp({ policies: '' }).decide()).not.toHaveProperty('refused');
  });
});
