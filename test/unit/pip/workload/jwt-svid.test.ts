import { beforeAll, describe, expect, test } from 'vitest';
import type { TrustBundle, TrustBundles } from '../../../../src/pdp/x509-svid.ts';
import { createWorkloadAuthenticator } from '../../../../src/pip/workload/workload.ts';
import { createJwtSvidReader } from '../../../../src/pip/workload/jwt-svid.ts';
import { type TestIssuer, createTestIssuer } from '../../../support/tokens.ts';
import { START, fingerprintOf } from '../fixture.ts';
import { type Asked, INGRESS, LEDGER, PAYMENT, PEP, WEB, asked, oneOf } from './fixture.ts';

const AUDIENCE = 'spiffe://prod.example.com/ns/cedar-pdp/sa/cedar-pdp';
const HEADER = 'x-jwt-svid';

const make = (alg = 'ES256', kid = 'key-1') =>
  createTestIssuer({
    issuer: 'https://spire.example.com',
    audience: AUDIENCE,
    alg,
    kid,
    typ: 'JWT',
    now: () => START,
  });

/** As a SPIFFE bundle has it: the use is `jwt-svid`, and no algorithm is said. */
function bundleOf(...issuers: readonly TestIssuer[]): TrustBundle {
  const keys = issuers
    .flatMap(({ jwks }) => jwks.keys)
    .map(({ alg: _alg, ...key }) => ({ ...key, use: 'jwt-svid' }));
  return { trustDomain: 'prod.example.com', x509Authorities: [], jwtAuthorities: keys };
}

let spire: TestIssuer;
let other: TestIssuer;
let bundles: TrustBundles;
beforeAll(async () => {
  spire = await make();
  other = await make('ES256', 'key-2');
  bundles = new Map([['prod.example.com', bundleOf(spire)]]);
});

interface Given extends Asked {
  readonly header?: string;
  readonly held?: () => TrustBundles;
}

function authenticator({ header = HEADER, held = () => bundles }: Given = {}) {
  const token = createJwtSvidReader({ header, audiences: [AUDIENCE], bundles: held });
  const xfcc = { trustedHops: 2, from: oneOf(PEP), proxies: oneOf(INGRESS), requireBy: true };
  return createWorkloadAuthenticator({ tokens: [token], xfcc });
}

const question = (token: string, given: Given = {}) =>
  asked({ now: START, ...given, headers: [[given.header ?? HEADER, token], ...(given.headers ?? [])] });

const authenticate = async (token: string, given: Given = {}) =>
  authenticator(given).authenticate(question(token, given));

describe('a JWT-SVID', () => {
  test('names the source where no mutual TLS does, and is no mutual TLS', async () => {
    const token = await spire.sign({ sub: WEB });
    expect(await authenticate(token)).toMatchObject({
      source: { id: WEB, evidence: 'jwt_svid', provenUntil: START + 300_000 },
    });
  });

  test('names the origin where a proxy stands between', async () => {
    const token = await spire.sign({ sub: WEB });
    expect(await authenticate(token, { source: { principal: INGRESS } })).toMatchObject({
      source: { id: INGRESS, evidence: 'principal' },
      origin: { id: WEB, evidence: 'jwt_svid' },
    });
  });

  test('of the source itself adds nothing', async () => {
    const answer = await authenticate(await spire.sign({ sub: WEB }), { source: { principal: WEB } });
    expect(answer).toMatchObject({ source: { id: WEB, evidence: 'principal' } });
    expect(answer).not.toHaveProperty('origin');
  });

  test('agrees with the origin of x-forwarded-client-cert', async () => {
    const xfcc = `By=${INGRESS};URI=${WEB},By=${LEDGER};URI=${INGRESS}`;
    const given: Given = { source: { principal: INGRESS }, headers: [['x-forwarded-client-cert', xfcc]] };
    expect(await authenticate(await spire.sign({ sub: WEB }), given)).toMatchObject({
      origin: { evidence: 'xfcc' },
    });
    const conflicting = await spire.sign({ sub: PAYMENT });
    expect(await authenticate(conflicting, given)).toEqual({
      refusal: 'evidence_conflict',
      detail: expect.stringContaining(PAYMENT) as string,
      cause: 'conflict',
      evidence: fingerprintOf(conflicting),
    });
  });

  test('that is missing leaves the answer synchronous', () => {
    const answer = authenticator().authenticate(asked({ source: { principal: WEB } }));
    expect(answer).not.toBeInstanceOf(Promise);
  });

  test('need not name its key, of several', async () => {
    const held = () => new Map([['prod.example.com', bundleOf(other, spire)]]);
    const token = await spire.sign({ sub: WEB }, { kid: undefined });
    expect(await authenticate(token, { held })).toMatchObject({ source: { id: WEB } });
    const forged = await (await make()).sign({ sub: WEB }, { kid: undefined });
    expect(await authenticate(forged, { held })).toMatchObject({ refusal: 'token_signature_invalid' });
  });

  test.each(['RS256', 'PS256', 'ES384'])('may be signed with %s', async (alg) => {
    const issuer = await make(alg);
    const held = () => new Map([['prod.example.com', bundleOf(issuer)]]);
    expect(await authenticate(await issuer.sign({ sub: WEB }), { held })).toMatchObject({
      source: { id: WEB },
    });
  });

  test.each([
    ['without type', undefined],
    ['of type JOSE', 'JOSE'],
  ])('may be %s', async (_what, typ) => {
    expect(await authenticate(await spire.sign({ sub: WEB }, { typ }))).toMatchObject({
      source: { id: WEB },
    });
  });

  test.each<[string, [refusal: string, cause: string], Record<string, unknown>, Record<string, unknown>?]>([
    ['is for another audience', ['token_audience_wrong', 'audience'], { aud: 'somebody' }],
    ['has no audience', ['token_audience_wrong', 'audience'], { aud: undefined }],
    ['has no expiry', ['token_claims_refused', 'claims'], { exp: undefined }],
    ['has expired', ['token_expired', 'expired'], { exp: START / 1000 - 31 }],
    ['is not valid yet', ['token_not_yet_valid', 'not_yet_valid'], { nbf: START / 1000 + 60 }],
    ['has no subject', ['token_claims_refused', 'claims'], { sub: undefined }],
    ['has a subject that is no SPIFFE ID', ['token_claims_refused', 'spiffe_id'], { sub: 'alice' }],
    ['has a subject in capitals', ['token_claims_refused', 'spiffe_id'], { sub: WEB.toUpperCase() }],
    [
      'has a subject that climbs',
      ['token_claims_refused', 'spiffe_id'],
      { sub: 'spiffe://prod.example.com/ns/../x' },
    ],
    ['names a trust domain', ['token_claims_refused', 'spiffe_id'], { sub: 'spiffe://prod.example.com' }],
    [
      'is of a trust domain without bundle',
      ['token_issuer_unknown', 'trust_domain'],
      { sub: 'spiffe://west.prod.example.com/ns/x/sa/y' },
    ],
    ['is bound to a key', ['token_binding_failed', 'binding'], { cnf: { jkt: 'x' } }],
    ['is of another type', ['token_type_refused', 'type'], {}, { typ: 'at+jwt' }],
    ['has its type in lower case', ['token_type_refused', 'type'], {}, { typ: 'jwt' }],
    [
      'has other members in its header',
      ['token_malformed', 'malformed'],
      {},
      { jku: 'https://evil.example/keys' },
    ],
    ['names a key that is not there', ['token_key_unknown', 'key'], {}, { kid: 'key-9' }],
  ])('is refused where it %s', async (_what, [refusal, cause], claims, header) => {
    const token = await spire.sign({ sub: WEB, ...claims }, header);
    expect(await authenticate(token)).toMatchObject({ refusal, cause, evidence: fingerprintOf(token) });
  });

  test('signed by EdDSA is refused, whoever holds the key', async () => {
    const issuer = await make('EdDSA');
    const held = () => new Map([['prod.example.com', bundleOf(issuer)]]);
    expect(await authenticate(await issuer.sign({ sub: WEB }), { held })).toMatchObject({
      refusal: 'token_algorithm_refused',
    });
  });

  test('signed by the key of another trust domain is refused', async () => {
    const partner = 'spiffe://partner.example.org/ns/shipping/sa/tracker';
    const held = () =>
      new Map([
        ['prod.example.com', bundleOf(spire)],
        ['partner.example.org', { ...bundleOf(other), trustDomain: 'partner.example.org' }],
      ]);
    expect(await authenticate(await other.sign({ sub: partner }), { held })).toMatchObject({
      source: { id: partner },
    });
    expect(await authenticate(await spire.sign({ sub: partner }), { held })).toMatchObject({
      refusal: 'token_key_unknown',
    });
    const bare = await spire.sign({ sub: partner }, { kid: undefined });
    expect(await authenticate(bare, { held })).toMatchObject({ refusal: 'token_signature_invalid' });
  });

  test('of a trust domain whose bundle has been emptied is refused, also when it is known', async () => {
    let held = bundles;
    const one = authenticator({ held: () => held });
    const token = await spire.sign({ sub: WEB });
    expect(await one.authenticate(question(token))).toMatchObject({ source: { id: WEB } });
    held = new Map([['prod.example.com', bundleOf()]]);
    expect(await one.authenticate(question(token))).toMatchObject({ refusal: 'token_key_unknown' });
    held = new Map();
    expect(await one.authenticate(question(token))).toMatchObject({ refusal: 'token_issuer_unknown' });
  });

  test('that is known expires all the same', async () => {
    const one = authenticator();
    const token = await spire.sign({ sub: WEB });
    expect(await one.authenticate(question(token))).toMatchObject({ source: { id: WEB } });
    const late = question(token, { now: START + 331_000 });
    expect(await one.authenticate(late)).toMatchObject({ refusal: 'token_expired' });
  });

  test('is named in a refusal by its fingerprint alone', async () => {
    const token = await spire.sign({ sub: WEB, aud: 'somebody' });
    const { detail, evidence } = (await authenticate(token)) as { detail: string; evidence: string };
    expect(detail).toMatch(/JWT-SVID in 'x-jwt-svid': audience is 'somebody'/);
    expect(evidence).toMatch(/^sha256:[\w-]{43}$/);
    expect(detail).not.toContain(token.split('.')[1]);
  });

  test.each([
    ['twice', [HEADER, 'a.b.c'], 'credentials_conflict'],
    ['with underscores', ['x_jwt_svid', 'a.b.c'], 'header_ambiguous'],
  ] as const)('is refused where it is sent %s', async (_how, second, refusal) => {
    const token = await spire.sign({ sub: WEB });
    expect(await authenticate(token, { headers: [second] })).toMatchObject({ refusal });
  });

  test.each(['', 'x', 'a.b.c', 'x'.repeat(20_000), 'Bearer a.b.c'])(
    'that is none is refused: %j',
    async (token) => {
      expect(await authenticate(token)).toMatchObject({ refusal: 'token_malformed' });
    },
  );
});

describe('a JWT-SVID in authorization', () => {
  const header = 'authorization';

  test('is told from a token of a user by its subject', async () => {
    const svid = await spire.sign({ sub: WEB });
    const user = await spire.sign({ sub: 'alice' });
    expect(await authenticate(`Bearer ${svid}`, { header })).toMatchObject({ source: { id: WEB } });
    expect(await authenticate(`Bearer ${user}`, { header })).not.toHaveProperty('source');
    expect(await authenticate(`DPoP ${user}`, { header })).not.toHaveProperty('source');
  });

  test('is refused where it is no good, rather than left to others', async () => {
    const forged = await other.sign({ sub: WEB });
    expect(await authenticate(`Bearer ${forged}`, { header })).toMatchObject({
      refusal: 'token_key_unknown',
    });
  });
});
