import { generateKeyPairSync } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createWorkloadAuthenticator } from '../../../src/pip/workload.ts';
import { createTestCa } from '../../support/test-ca.ts';
import { receivedOf, receivedWith, requestWith } from './fixture.ts';

const WEB = 'spiffe://prod.example.com/ns/frontend/sa/web';
const PAYMENT = 'spiffe://prod.example.com/ns/payments/sa/payment-api';

let ca: Awaited<ReturnType<typeof createTestCa>>;
let web: string;
beforeAll(async () => {
  ca = await createTestCa('prod.example.com');
  web = encodeURIComponent((await ca.issue({ spiffeId: WEB })).cert);
});
afterAll(() => ca[Symbol.asyncDispose]());

const authenticate = (principal: string, certificate: string) =>
  createWorkloadAuthenticator().authenticate(receivedWith({ source: { principal, certificate } }));

describe('the certificate that a PEP sends along', () => {
  test('bears out the principal', () => {
    expect(authenticate(WEB, web)).toMatchObject({ source: { id: WEB } });
    expect(authenticate('prod.example.com/ns/frontend/sa/web', web)).toMatchObject({ source: { id: WEB } });
  });

  test('that says somebody else is a conflict, the first time and the next', () => {
    const authenticator = createWorkloadAuthenticator();
    const request = requestWith({ source: { principal: PAYMENT, certificate: web } });
    for (let round = 0; round < 2; round++) {
      expect(authenticator.authenticate(receivedOf(request))).toMatchObject({
        refusal: 'evidence_conflict',
        detail: expect.stringContaining(WEB) as string,
      });
    }
  });

  test.each([
    ['is no certificate', () => 'garbage'],
    ['is not URL-encoded', () => '%zz'],
    [
      'is another PEM',
      () =>
        encodeURIComponent(
          String(generateKeyPairSync('ed25519').publicKey.export({ type: 'spki', format: 'pem' })),
        ),
    ],
    ['is cut off', () => web.slice(0, web.length / 2)],
    ['is very long', () => web.repeat(80)],
  ])('that %s is a conflict', (_what, certificate) => {
    expect(authenticate(WEB, certificate())).toMatchObject({ refusal: 'evidence_conflict' });
  });

  test('gives no identity by itself: whether anybody verified it is not known', () => {
    expect(authenticate('', web)).toEqual({});
  });
});
