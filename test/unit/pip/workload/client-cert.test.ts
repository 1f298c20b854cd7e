import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createSvidVerifier } from '../../../../src/pip/spiffe/x509/verify-svid.ts';
import { createWorkloadAuthenticator } from '../../../../src/pip/workload/workload.ts';
import { bundlesOf } from '../../../support/svids.ts';
import { type Leaf, type TestCa, createTestCa } from '../../../support/test-ca.ts';
import { type Asked, PAYMENT, PEP, WEB, asked, oneOf } from './fixture.ts';
import { fingerprintOf } from '../fixture.ts';

let ca: TestCa;
let web: Leaf;
let payment: Leaf;
let below: Leaf;
beforeAll(async () => {
  ca = await createTestCa('prod.example.com');
  web = await ca.issue({ spiffeId: WEB });
  payment = await ca.issue({ spiffeId: PAYMENT });
  below = await ca.issueAuthority().issue({ spiffeId: PAYMENT });
});
afterAll(() => ca[Symbol.asyncDispose]());

const bytes = (der: Buffer | undefined): string => `:${(der ?? Buffer.of()).toString('base64')}:`;
const encoded = ({ cert }: Leaf): string => encodeURIComponent(cert);

function authenticate(headers: Record<string, string | string[]>, given: Asked = {}) {
  const pairs = Object.entries(headers).flatMap(([name, values]) =>
    [values].flat().map((value): [string, string] => [name, value]),
  );
  const verify = createSvidVerifier(() => bundlesOf(ca));
  return createWorkloadAuthenticator({ verify, clientCert: { verify, from: oneOf(PEP) } }).authenticate(
    asked({ ...given, headers: [...pairs, ...(given.headers ?? [])] }),
  );
}

const invalid = (words: string, cause: string) => ({
  refusal: 'workload_evidence_invalid',
  cause,
  detail: expect.stringContaining(words) as string,
});

describe('Client-Cert of a trusted PEP', () => {
  test('names the source, with its certificate', () => {
    expect(authenticate({ 'client-cert': bytes(web.chain[0]) })).toMatchObject({
      source: { id: WEB, evidence: 'client_cert' },
      certificate: { issuer: expect.stringContaining('test CA') as string },
    });
  });

  test('needs the intermediate CAs in Client-Cert-Chain', () => {
    const [leaf, ...issuers] = below.chain;
    const chain = issuers.map(bytes).join(', ');
    expect(authenticate({ 'client-cert': bytes(leaf), 'client-cert-chain': chain })).toMatchObject({
      source: { id: PAYMENT },
    });
    expect(authenticate({ 'client-cert': bytes(leaf) })).toMatchObject({
      ...invalid('certificate in client-cert', 'chain'),
      evidence: fingerprintOf(leaf ?? ''),
    });
  });

  test('makes up for no certificate of the connection that cannot be verified by itself', () => {
    const [leaf, ...issuers] = below.chain;
    const headers = { 'client-cert': bytes(leaf), 'client-cert-chain': issuers.map(bytes).join(', ') };
    const certificate = encoded(below);
    expect(authenticate(headers, { source: { certificate } })).toMatchObject(
      invalid('without a principal', 'chain'),
    );
    expect(authenticate(headers, { source: { certificate, principal: PAYMENT } })).toMatchObject({
      source: { id: PAYMENT, evidence: 'principal' },
    });
  });

  test('is not read of any other PEP, nor unless configured', () => {
    const headers = { 'client-cert': bytes(web.chain[0]) };
    expect(authenticate(headers, { pep: WEB })).not.toHaveProperty('source');
    expect(authenticate(headers, { pep: '' })).not.toHaveProperty('source');
    const received = asked({ headers: Object.entries(headers) });
    expect(createWorkloadAuthenticator().authenticate(received)).not.toHaveProperty('source');
  });

  test('agrees with the principal and the certificate of the connection', () => {
    const headers = { 'client-cert': bytes(web.chain[0]) };
    const agreeing = { principal: WEB, certificate: encoded(web) };
    expect(authenticate(headers, { source: agreeing })).toMatchObject({
      source: { id: WEB, evidence: 'principal' },
    });
    expect(authenticate(headers, { source: { principal: PAYMENT } })).toMatchObject({
      refusal: 'evidence_conflict',
      evidence: fingerprintOf(web.chain[0] ?? ''),
      cause: 'conflict',
    });
    expect(authenticate(headers, { source: { certificate: encoded(payment) } })).toMatchObject({
      refusal: 'evidence_conflict',
      evidence: fingerprintOf(web.chain[0] ?? ''),
      cause: 'conflict',
    });
  });

  test('of nobody with a SPIFFE ID is a fingerprint and no more', async () => {
    const browser = await ca.issue({ spiffeId: '', uris: [], dns: ['browser.example.com'] });
    const answer = authenticate({ 'client-cert': bytes(browser.chain[0]) });
    expect(answer).toMatchObject({ certificate: { fingerprint: expect.any(String) as string } });
    expect(answer).not.toHaveProperty('source');
    const other = authenticate({ 'client-cert': bytes(browser.chain[0]) }, { source: { principal: WEB } });
    expect(other).toMatchObject({ refusal: 'evidence_conflict' });
  });

  test('of another trust domain than its CA vouches for is refused', async () => {
    const forged = await ca.issue({ spiffeId: 'spiffe://partner.example.org/ns/x/sa/y' });
    expect(authenticate({ 'client-cert': bytes(forged.chain[0]) })).toMatchObject(
      invalid('partner.example.org', 'trust_domain'),
    );
  });

  test.each<[string, Record<string, string | string[]>]>([
    ['is sent twice', { 'client-cert': [':AA==:', ':AA==:'] }],
    ['is joined from two', { 'client-cert': ':AA==:, :AA==:' }],
    ['is not a byte sequence', { 'client-cert': 'AA==' }],
    ['has parameters', { 'client-cert': ':AA==:;a=1' }],
    ['is not canonical base64', { 'client-cert': ':AB==:' }],
    ['holds no certificate', { 'client-cert': ':AA==:' }],
    ['is empty', { 'client-cert': '' }],
    ['is missing beside its chain', { 'client-cert-chain': ':AA==:' }],
  ])('is refused where it %s', (_what, headers) => {
    expect(authenticate(headers)).toMatchObject({
      ...invalid('client-cert', 'malformed'),
      evidence: fingerprintOf(Object.values(headers).flat().join(', ')),
    });
  });

  test.each([
    ['is not of byte sequences', 'AA=='],
    ['is too long', Array.from({ length: 9 }, () => ':AA==:').join(',')],
  ])('is refused where its chain %s', (_what, chain) => {
    expect(authenticate({ 'client-cert': bytes(web.chain[0]), 'client-cert-chain': chain })).toMatchObject({
      ...invalid('client-cert-chain', 'malformed'),
      evidence: fingerprintOf(chain),
    });
  });

  test('is refused beside a spelling with underscores', () => {
    expect(authenticate({ 'client-cert': bytes(web.chain[0]), client_cert: ':AA==:' })).toMatchObject({
      refusal: 'header_ambiguous',
    });
  });
});
