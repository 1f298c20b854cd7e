import { X509Certificate, createHash, generateKeyPairSync } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { TrustBundles } from '../../../../src/pdp/x509-svid.ts';
import { createCachedSvidVerifier } from '../../../../src/pip/spiffe/x509/cached-svid-verifier.ts';
import { createWorkloadAuthenticator } from '../../../../src/pip/workload/workload.ts';
import { bundlesOf } from '../../../support/svids.ts';
import { createTestCa } from '../../../support/test-ca.ts';
import { receivedOf, receivedWith, requestWith } from '../fixture.ts';

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

  test('gives no identity by itself where it cannot be verified, and is told of by its fingerprint', () => {
    const answer = authenticate('', web);
    expect(answer).toEqual({
      certificate: {
        fingerprint: createHash('sha256').update(leafOf(web)).digest('base64url'),
        issuer: expect.stringContaining('prod.example.com test CA') as string,
      },
    });
  });

  test('is told of also where its owner is no workload', async () => {
    const browser = await ca.issue({ spiffeId: '', uris: [], dns: ['browser.example.com'] });
    expect(authenticate('browser.example.com', encodeURIComponent(browser.cert))).toEqual({
      certificate: expect.objectContaining({ fingerprint: expect.any(String) as string }) as object,
    });
  });

  test('of a workload contradicts a PEP that names none', () => {
    expect(authenticate('web.example.com', web)).toMatchObject({ refusal: 'evidence_conflict' });
  });

  test('that cannot be read proves nothing where nothing else does', () => {
    expect(authenticate('', 'garbage')).toEqual({});
  });

  test('with two URIs bears out neither', async () => {
    const two = await ca.issue({ spiffeId: WEB, uris: [WEB, PAYMENT] });
    const certificate = encodeURIComponent(two.cert);
    expect(authenticate(WEB, certificate)).toMatchObject({ refusal: 'evidence_conflict' });
    expect(authenticate('', certificate)).not.toHaveProperty('source');
  });
});

describe('the certificate that a PEP sends along, verified by our bundles', () => {
  const verified = (
    principal: string,
    certificate: string,
    { sourceCertificates = 'agree', bundles = bundlesOf(ca), now = Date.now() }: Verifying = {},
  ) =>
    createWorkloadAuthenticator({
      verify: createCachedSvidVerifier(() => bundles),
      sourceCertificates,
    }).authenticate(receivedWith({ source: { principal, certificate } }, now));

  test('proves the source where the PEP says nothing', () => {
    expect(verified('', web)).toMatchObject({
      source: { id: WEB, evidence: 'certificate', provenUntil: expect.any(Number) as number },
    });
  });

  test.each<[string, () => Verifying]>([
    ['is of a trust domain that is not trusted', () => ({ bundles: new Map() })],
    ['has expired', () => ({ now: Date.now() + 2 * 3_600_000 })],
  ])('proves nobody where it %s', (_what, how) => {
    expect(verified('', web, how())).not.toHaveProperty('source');
  });

  test('of one trust domain that the CA of another signed proves nobody', async () => {
    await using other = await createTestCa('partner.example.org');
    const forged = await other.issue({ spiffeId: WEB });
    const certificate = encodeURIComponent(forged.cert);
    const bundles = bundlesOf(ca, other);
    expect(verified('', certificate, { bundles })).not.toHaveProperty('source');
    expect(verified(WEB, certificate, { bundles })).toMatchObject({
      source: { id: WEB, evidence: 'principal' },
    });
    expect(verified(WEB, certificate, { bundles, sourceCertificates: 'chain' })).toEqual({
      refusal: 'workload_evidence_invalid',
      detail: expect.stringContaining('partner.example.org') as string,
      evidence: expect.stringMatching(/^sha256:[\w-]{43}$/) as string,
    });
  });

  test('must be sent, and verified, where that is configured', () => {
    const chain = { sourceCertificates: 'chain' } as const;
    expect(verified(WEB, web, chain)).toMatchObject({ source: { id: WEB } });
    expect(verified(WEB, '', chain)).toMatchObject({ refusal: 'workload_evidence_invalid' });
    expect(verified(WEB, web, { ...chain, now: Date.now() + 2 * 3_600_000 })).toMatchObject({
      refusal: 'workload_evidence_invalid',
      detail: expect.stringContaining('expired') as string,
    });
    expect(verified('', '', chain)).toEqual({});
  });
});

interface Verifying {
  readonly sourceCertificates?: 'agree' | 'chain';
  readonly bundles?: TrustBundles;
  readonly now?: number;
}

function leafOf(certificate: string): Buffer {
  return new X509Certificate(decodeURIComponent(certificate)).raw;
}
