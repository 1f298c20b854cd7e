import { X509Certificate, createHash, generateKeyPairSync } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { TrustBundles } from '../../../../src/pdp/x509-svid.ts';
import { createCachedSvidVerifier } from '../../../../src/pip/spiffe/x509/cached-svid-verifier.ts';
import { createWorkloadAuthenticator } from '../../../../src/pip/workload/workload.ts';
import { bundlesOf } from '../../../support/svids.ts';
import { createTestCa } from '../../../support/test-ca.ts';
import { fingerprintOf, receivedOf, receivedWith, requestWith } from '../fixture.ts';

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
  ])('that %s is a conflict', (_what, made) => {
    const certificate = made();
    expect(authenticate(WEB, certificate)).toMatchObject({
      refusal: 'evidence_conflict',
      cause: 'malformed',
      evidence: fingerprintOf(certificate),
    });
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

  test('that cannot be read proves nothing where nothing else does, and no bundles are configured', () => {
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

  test.each<[string, string, string, () => Verifying]>([
    [
      'is of a trust domain that is not trusted',
      'trust_domain',
      'no bundle is held',
      () => ({ bundles: new Map() }),
    ],
    ['has expired', 'expired', 'expired', () => ({ now: Date.now() + 2 * 3_600_000 })],
    ['is not valid yet', 'not_yet_valid', 'not valid', () => ({ now: Date.now() - 48 * 3_600_000 })],
  ])('without a principal is refused where it %s', (_what, cause, words, how) => {
    expect(verified('', web, how())).toEqual({
      refusal: 'workload_evidence_invalid',
      detail: expect.stringContaining(words) as string,
      evidence: fingerprintOf(leafOf(web)),
      cause,
    });
  });

  test.each([
    ['two URIs', [WEB, PAYMENT]],
    ['a SPIFFE ID in capitals', ['SPIFFE://prod.example.com/ns/frontend/sa/web']],
    ['a SPIFFE ID beside another URI', ['https://web.example.com/', WEB]],
    ['a SPIFFE ID that holds a comma', [`${WEB},x`]],
  ])('without a principal is refused where it holds %s', async (_what, uris) => {
    const { cert } = await ca.issue({ spiffeId: WEB, uris });
    expect(verified('', encodeURIComponent(cert))).toMatchObject({
      refusal: 'workload_evidence_invalid',
      cause: 'spiffe_id',
      evidence: fingerprintOf(leafOf(encodeURIComponent(cert))),
    });
  });

  test.each(['', 'web.example.com'])(
    'that cannot be read is refused beside the principal %j',
    (principal) => {
      expect(verified(principal, 'garbage')).toMatchObject({
        refusal: 'workload_evidence_invalid',
        cause: 'malformed',
        evidence: fingerprintOf('garbage'),
      });
    },
  );

  test.each<[string, readonly string[], readonly string[]]>([
    ['no URI', [], ['browser.example.com']],
    ['another URI', ['https://device.example.com/1'], []],
    ['a DNS name that spells a SPIFFE ID', [], [WEB]],
  ])('that claims no SPIFFE ID, with %s, proves nobody and is told of', async (_what, uris, dns) => {
    await using devices = await createTestCa('devices.example.com');
    const { cert } = await devices.issue({ spiffeId: '', uris: [...uris], dns: [...dns] });
    for (const principal of ['', 'browser.example.com'])
      expect(verified(principal, encodeURIComponent(cert))).toEqual({
        certificate: expect.objectContaining({ fingerprint: expect.any(String) as string }) as object,
      });
  });

  test('of one trust domain that the CA of another signed is refused, unless the PEP vouches for it', async () => {
    await using other = await createTestCa('partner.example.org');
    const forged = await other.issue({ spiffeId: WEB });
    const certificate = encodeURIComponent(forged.cert);
    const bundles = bundlesOf(ca, other);
    const refused = {
      refusal: 'workload_evidence_invalid',
      detail: expect.stringContaining('partner.example.org') as string,
      evidence: fingerprintOf(leafOf(certificate)),
      cause: 'trust_domain',
    };
    expect(verified('', certificate, { bundles })).toEqual(refused);
    expect(verified(WEB, certificate, { bundles })).toMatchObject({
      source: { id: WEB, evidence: 'principal' },
    });
    expect(verified(WEB, certificate, { bundles, sourceCertificates: 'chain' })).toEqual(refused);
  });

  test('must be sent, and verified, where that is configured', () => {
    const chain = { sourceCertificates: 'chain' } as const;
    expect(verified(WEB, web, chain)).toMatchObject({ source: { id: WEB } });
    expect(verified(WEB, '', chain)).toMatchObject({
      refusal: 'workload_evidence_invalid',
      cause: 'missing',
    });
    expect(verified(WEB, web, { ...chain, now: Date.now() + 2 * 3_600_000 })).toMatchObject({
      refusal: 'workload_evidence_invalid',
      detail: expect.stringContaining('expired') as string,
      cause: 'expired',
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
