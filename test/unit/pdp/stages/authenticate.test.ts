import { expect, test } from 'vitest';
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
