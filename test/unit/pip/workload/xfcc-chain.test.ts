import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { certificateFingerprint } from '../../../../src/pip/workload/peer-certificate.ts';
import { createWorkloadAuthenticator } from '../../../../src/pip/workload/workload.ts';
import type { XfccRules } from '../../../../src/pip/workload/xfcc-chain.ts';
import { type Leaf, type TestCa, createTestCa } from '../../../support/test-ca.ts';
import { type Asked, INGRESS, LEDGER, PAYMENT, PEP, WEB, asked, oneOf } from './fixture.ts';
import { fingerprintOf } from '../fixture.ts';

const XFCC = 'x-forwarded-client-cert';
const RULES: XfccRules = { trustedHops: 1, from: oneOf(PEP), proxies: () => false, requireBy: true };
const BEHIND_INGRESS: XfccRules = { ...RULES, trustedHops: 2, proxies: oneOf(INGRESS) };

let ca: TestCa;
let web: Leaf;
beforeAll(async () => {
  ca = await createTestCa('prod.example.com');
  web = await ca.issue({ spiffeId: WEB });
});
afterAll(() => ca[Symbol.asyncDispose]());

const authenticate = (xfcc: string | readonly string[], given: Asked = {}, rules: XfccRules = RULES) =>
  createWorkloadAuthenticator({ xfcc: rules }).authenticate(
    asked({
      ...given,
      headers: [[xfcc].flat().map((value): [string, string] => [XFCC, value]), given.headers ?? []].flat(),
    }),
  );

const refused = (refusal: string, words: string) => ({
  refusal,
  detail: expect.stringContaining(words) as string,
});

describe('x-forwarded-client-cert of a trusted PEP', () => {
  test('names the source where the PEP has no principal for it', () => {
    expect(authenticate(`By=${LEDGER};URI=${WEB}`)).toEqual({
      source: expect.objectContaining({ id: WEB, evidence: 'xfcc' }) as object,
      destination: expect.objectContaining({ id: LEDGER }) as object,
    });
  });

  test('may be written by the PEP under its own name', () => {
    expect(authenticate(`By=${PEP};URI=${WEB}`, { destination: '' })).toMatchObject({ source: { id: WEB } });
  });

  test('bears out the principal, which stays the evidence', () => {
    expect(authenticate(`By=${LEDGER};URI=${WEB}`, { source: { principal: WEB } })).toMatchObject({
      source: { id: WEB, evidence: 'principal' },
    });
  });

  test.each([
    ['another workload', WEB],
    ['a DNS name', 'web.example.com'],
  ])('that differs from a principal that is %s is a conflict', (_what, principal) => {
    const header = `By=${LEDGER};URI=${PAYMENT}`;
    expect(authenticate(header, { source: { principal } })).toMatchObject({
      ...refused('evidence_conflict', PAYMENT),
      evidence: fingerprintOf(header),
      cause: 'conflict',
    });
  });

  test('is not read of any other PEP, nor without one, nor unless configured', () => {
    const header = `By=${LEDGER};URI=${WEB}`;
    expect(authenticate(header, { pep: INGRESS })).not.toHaveProperty('source');
    expect(authenticate(header, { pep: '' })).not.toHaveProperty('source');
    expect(authenticate('garbage', { pep: INGRESS })).not.toHaveProperty('refusal');
    const unread = createWorkloadAuthenticator().authenticate(asked({ headers: [[XFCC, header]] }));
    expect(unread).not.toHaveProperty('source');
  });

  test('that is missing is no evidence', () => {
    expect(authenticate([])).toEqual({ destination: expect.anything() as object });
  });

  test.each([
    ['is not of the grammar', 'URI', 'malformed'],
    ['has a By that names somebody else', `By=${INGRESS};URI=${WEB}`, 'hops'],
    ['has no By', `URI=${WEB}`, 'hops'],
    ['has a By that is no SPIFFE ID', `By=SPIFFE://x;URI=${WEB}`, 'hops'],
    ['has a URI that is no SPIFFE ID', `By=${LEDGER};URI=https://example.com/`, 'spiffe_id'],
    ['has a URI that climbs', `By=${LEDGER};URI=spiffe://prod.example.com/ns/../x`, 'spiffe_id'],
    ['has two URIs', `By=${LEDGER};URI=${WEB};URI=${PAYMENT}`, 'spiffe_id'],
    ['has a Hash that is none', `By=${LEDGER};Hash=00;URI=${WEB}`, 'malformed'],
  ])('is refused where it %s', (_what, header, cause) => {
    expect(authenticate(header)).toMatchObject({
      ...refused('workload_evidence_invalid', XFCC),
      evidence: fingerprintOf(header),
      cause,
    });
  });

  test('is refused where it is sent twice, or also with underscores', () => {
    const header = `By=${LEDGER};URI=${WEB}`;
    expect(authenticate([header, header])).toMatchObject({
      ...refused('workload_evidence_invalid', 'more than once'),
      evidence: fingerprintOf(`${header}, ${header}`),
      cause: 'malformed',
    });
    expect(authenticate(header, { headers: [['x_forwarded_client_cert', header]] })).toMatchObject({
      refusal: 'header_ambiguous',
    });
    expect(authenticate([], { headers: [['x_forwarded_client_cert', header]] })).toMatchObject({
      refusal: 'header_ambiguous',
    });
  });

  test('needs no By where that is configured, and still no other than its own', () => {
    const rules = { ...RULES, requireBy: false };
    expect(authenticate(`URI=${WEB}`, {}, rules)).toMatchObject({ source: { id: WEB } });
    expect(authenticate(`By=${INGRESS};URI=${WEB}`, {}, rules)).toMatchObject({
      refusal: 'workload_evidence_invalid',
    });
  });

  test('without a URI names nobody', () => {
    expect(authenticate(`By=${LEDGER};Subject="CN=x";URI=`)).not.toHaveProperty('source');
    expect(authenticate(`By=${LEDGER};Subject="CN=x"`, { source: { principal: WEB } })).toMatchObject({
      source: { id: WEB },
    });
  });
});

describe('the certificate in x-forwarded-client-cert', () => {
  const header = (parts: string) => `By=${LEDGER};${parts};URI=${WEB}`;
  const hex = () =>
    web.chain[0] && Buffer.from(certificateFingerprint(web.chain[0]), 'base64url').toString('hex');
  const encoded = () => encodeURIComponent(web.cert);
  const fingerprint = () => certificateFingerprint(web.chain[0] ?? Buffer.of());

  test('is known by its Hash', () => {
    expect(authenticate(header(`Hash=${hex()}`))).toMatchObject({
      certificate: { fingerprint: fingerprint() },
    });
    expect(authenticate(header(`Hash=${hex()?.toUpperCase()}`))).toMatchObject({
      certificate: { fingerprint: fingerprint() },
    });
  });

  test('is known with its issuer where it is there itself', () => {
    expect(authenticate(header(`Hash=${hex()};Cert="${encoded()}"`))).toMatchObject({
      certificate: { fingerprint: fingerprint(), issuer: expect.stringContaining('test CA') as string },
    });
  });

  test('agrees with the certificate that the PEP sent', () => {
    const source = { principal: WEB, certificate: encoded() };
    expect(authenticate(header(`Hash=${hex()}`), { source })).toMatchObject({ source: { id: WEB } });
    expect(authenticate(header(`Hash=${'0'.repeat(64)}`), { source })).toMatchObject(
      refused('evidence_conflict', 'fingerprints'),
    );
  });

  test('agrees with the Hash and the URI beside it', () => {
    expect(authenticate(header(`Hash=${'0'.repeat(64)};Cert="${encoded()}"`))).toMatchObject(
      refused('evidence_conflict', 'fingerprints'),
    );
    expect(authenticate(`By=${LEDGER};Cert="${encoded()}";URI=${PAYMENT}`)).toMatchObject(
      refused('evidence_conflict', WEB),
    );
    expect(authenticate(header('Cert="garbage"'))).toMatchObject({ refusal: 'evidence_conflict' });
  });
});

describe('x-forwarded-client-cert through several proxies', () => {
  const two = `By=${INGRESS};URI=${WEB},By=${LEDGER};URI=${INGRESS}`;

  test('tells source and origin apart', () => {
    expect(authenticate(two, { source: { principal: INGRESS } }, BEHIND_INGRESS)).toMatchObject({
      source: { id: INGRESS, evidence: 'principal' },
      origin: { id: WEB, evidence: 'xfcc' },
    });
  });

  test('goes no further back than the trusted hops; what is left of them is claimed', () => {
    const three = `By=${WEB};URI=${PAYMENT},${two}`;
    expect(authenticate(three, { source: { principal: INGRESS } }, BEHIND_INGRESS)).toMatchObject({
      origin: { id: WEB },
      claimedSources: [PAYMENT],
    });
    expect(authenticate(three, { source: { principal: INGRESS } })).toEqual({
      source: expect.objectContaining({ id: INGRESS }) as object,
      destination: expect.objectContaining({ id: LEDGER }) as object,
      claimedSources: [PAYMENT, WEB],
    });
  });

  test('goes no further back than proxies that are trusted: any client of the PEP can write an element', () => {
    const forged = `By=${PAYMENT};URI=${WEB},By=${LEDGER};URI=${PAYMENT}`;
    const answer = authenticate(forged, { source: { principal: PAYMENT } }, BEHIND_INGRESS);
    expect(answer).toMatchObject({ source: { id: PAYMENT }, claimedSources: [WEB] });
    expect(answer).not.toHaveProperty('origin');
  });

  test('gives a client that is no proxy no origin, whatever it writes in front', () => {
    const name = fc.constantFrom(WEB, INGRESS, LEDGER, PEP, PAYMENT, '', 'x');
    const pair = fc.oneof(
      name.map((text) => `By=${text}`),
      name.map((text) => `URI="${text}"`),
      fc.constantFrom('Subject="CN=x', 'Subject="', 'X="\\"', 'Hash=00', 'by=', '"', ';', ''),
    );
    const front = fc.array(
      fc.array(pair, { maxLength: 3 }).map((pairs) => pairs.join(';')),
      { maxLength: 3 },
    );
    fc.assert(
      fc.property(front, fc.boolean(), (elements, requireBy) => {
        const own = `By=${LEDGER};Subject="CN=\\"real\\"";URI=${PAYMENT}`;
        const header = [...elements, own].join(',');
        const rules = { ...BEHIND_INGRESS, trustedHops: 8, requireBy };
        const answer = authenticate(header, { source: { principal: PAYMENT } }, rules);
        if ('refusal' in answer) return;
        expect(answer).toMatchObject({ source: { id: PAYMENT, evidence: 'principal' } });
        expect(answer).not.toHaveProperty('origin');
      }),
    );
  });

  test('may be shorter than the trusted hops', () => {
    const answer = authenticate(
      `By=${LEDGER};URI=${INGRESS}`,
      { source: { principal: INGRESS } },
      BEHIND_INGRESS,
    );
    expect(answer).toMatchObject({ source: { id: INGRESS } });
    expect(answer).not.toHaveProperty('origin');
  });

  test('is refused where a believed element was written by another proxy than the next element names', () => {
    const broken = `By=${PAYMENT};URI=${WEB},By=${LEDGER};URI=${INGRESS}`;
    expect(authenticate(broken, { source: { principal: INGRESS } }, BEHIND_INGRESS)).toMatchObject(
      refused('workload_evidence_invalid', PAYMENT),
    );
  });

  test('ends at a client without a SPIFFE ID: nobody is known to have asked first', () => {
    const outside = `By=${INGRESS};Subject="CN=browser",By=${LEDGER};URI=${INGRESS}`;
    const answer = authenticate(outside, { source: { principal: INGRESS } }, BEHIND_INGRESS);
    expect(answer).toMatchObject({ source: { id: INGRESS } });
    expect(answer).not.toHaveProperty('origin');
    expect(answer).not.toHaveProperty('claimedSources');
  });

  test('claims are bounded in number and length', () => {
    const claims = Array.from({ length: 30 }, (_, index) => `URI=spiffe://td/${index}`);
    const header = [`URI=${'x'.repeat(3000)}`, ...claims, `By=${LEDGER};URI=${WEB}`].join(',');
    const answer = authenticate(header) as { claimedSources: string[] };
    expect(answer.claimedSources).toHaveLength(16);
    expect(answer.claimedSources.at(-1)).toBe('spiffe://td/29');
  });
});

describe('the forms of Istio', () => {
  const client = 'spiffe://cluster.local/ns/default/sa/sleep';
  const server = 'spiffe://cluster.local/ns/default/sa/httpbin';
  const gateway = 'spiffe://cluster.local/ns/istio-system/sa/istio-ingressgateway-service-account';
  const waypoint = 'spiffe://cluster.local/ns/default/sa/waypoint';
  const hash = 'a0ad2e29d8ef2db25bd7dd0e2bdcfd26a2b8a5f2cc2d5ab1bc9c8c1b3ac0a4e1';
  const only = (pep: string): XfccRules => ({ ...RULES, from: oneOf(pep) });

  test('sidecar: APPEND_FORWARD, principals, one element for each hop', () => {
    const given = { pep: server, destination: server };
    expect(
      authenticate(
        `By=${server};Hash=${hash};Subject="";URI=${client}`,
        { ...given, source: { principal: client } },
        only(server),
      ),
    ).toMatchObject({ source: { id: client, evidence: 'principal' } });
    expect(
      authenticate(
        `By=${gateway};Hash=${hash};Subject="CN=partner";URI=spiffe://partner.example.org/ns/x/sa/y,By=${server};Hash=${hash};Subject="";URI=${gateway}`,
        { ...given, source: { principal: gateway } },
        { ...only(server), trustedHops: 2, proxies: oneOf(gateway) },
      ),
    ).toMatchObject({
      source: { id: gateway },
      origin: { id: 'spiffe://partner.example.org/ns/x/sa/y', evidence: 'xfcc' },
    });
  });

  test('gateway: SANITIZE_SET, one element, whatever clients send', () => {
    const given = { pep: gateway, destination: gateway, source: { principal: client } };
    expect(authenticate(`By=${gateway};Hash=${hash};URI=${client}`, given, only(gateway))).toMatchObject({
      source: { id: client },
    });
  });

  test('ambient waypoint: overwritten from the identity of ztunnel, without principals', () => {
    const given = { pep: waypoint, destination: '' };
    const rules = { ...only(waypoint), requireBy: false };
    expect(authenticate(`URI=${client}`, given, rules)).toMatchObject({
      source: { id: client, evidence: 'xfcc' },
    });
    expect(authenticate(`By=${waypoint};URI=${client}`, given, rules)).toMatchObject({
      source: { id: client },
    });
  });

  test('principals without scheme are the same as with it', () => {
    const bare = (id: string) => id.slice('spiffe://'.length);
    const given = { pep: server, destination: bare(server), source: { principal: bare(client) } };
    expect(authenticate(`By=${server};Hash=${hash};URI=${client}`, given, only(server))).toMatchObject({
      source: { id: client },
      destination: { id: server },
    });
    expect(authenticate(`By=${bare(server)};URI=${bare(client)}`, given, only(server))).toMatchObject({
      source: { id: client },
    });
  });
});
