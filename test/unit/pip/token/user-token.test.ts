import { createHash } from 'node:crypto';
import { beforeAll, describe, expect, test } from 'vitest';
import { type Issuer, type IssuerOptions, createIssuer } from '../../../../src/pip/token/issuer.ts';
import { type TokenVerifier, createTokenVerifier } from '../../../../src/pip/token/token-verifier.ts';
import { createUserAuthenticator } from '../../../../src/pip/token/user-token.ts';
import { type TestIssuer, createTestIssuer } from '../../../support/tokens.ts';
import { START, fingerprintOf, keySetOf, manualClock, receivedWith, type RequestParts } from '../fixture.ts';

const AUD = 'https://api.example.com';
let staff: TestIssuer;
let mdm: TestIssuer;
let verifier: TokenVerifier;
let issuers: Issuer[];

beforeAll(async () => {
  staff = await createTestIssuer({ issuer: 'https://id.example.com', audience: AUD, now: () => START });
  mdm = await createTestIssuer({ issuer: 'https://mdm.example.com', audience: AUD, now: () => START });
  ({ verifier, issuers } = setUp());
});

/** A proxy whose assertions come in a header of their own. */
function proxyOf(issuer: string): Issuer {
  return createIssuer({
    name: 'proxy',
    issuer,
    use: 'user',
    header: 'x-proxy-assertion',
    audiences: [AUD],
    algorithms: ['ES256'],
    types: ['at+jwt'],
  });
}

/** Verifier and issuers, the issuer of users as `options` say. */
function setUp(options: Partial<IssuerOptions> = {}): { verifier: TokenVerifier; issuers: Issuer[] } {
  const common = { audiences: [AUD], algorithms: ['ES256'], types: ['at+jwt'] };
  const all = [
    createIssuer({ ...common, name: 'staff', issuer: staff.issuer, use: 'user', ...options }),
    createIssuer({ ...common, name: 'mdm', issuer: mdm.issuer, use: 'device' }),
  ];
  const keySets = new Map([
    ['staff', keySetOf('staff', staff)],
    ['mdm', keySetOf('mdm', mdm)],
  ]);
  return { verifier: createTokenVerifier(all, keySets, manualClock()), issuers: all };
}

function authenticate(parts: RequestParts, header?: string) {
  const options = header === undefined ? { verifier, issuers } : setUp({ header });
  return createUserAuthenticator(options).authenticate(receivedWith(parts), {});
}

describe('user authenticator', () => {
  test("names the user by issuer and subject, so that two issuers' alices differ", async () => {
    const token = await staff.sign();
    expect(await authenticate({ headers: [['authorization', `Bearer ${token}`]] })).toMatchObject({
      id: 'staff/alice',
      token: { issuer: 'staff', subject: 'alice' },
    });
  });

  test.each(['bearer', 'BEARER', 'bEaReR'])('takes the scheme %s', async (scheme) => {
    const token = await staff.sign();
    expect(await authenticate({ headers: [['authorization', `${scheme} ${token}`]] })).toMatchObject({
      id: 'staff/alice',
    });
  });

  test('knows no user where no token is sent', async () => {
    expect(await authenticate({})).toBeUndefined();
  });

  test('reads no other header', async () => {
    const token = await staff.sign();
    const headers = [
      'x-auth-user',
      'x-forwarded-user',
      'proxy-authorization',
      'cookie',
      'x-authorization',
    ].map((name): [string, string] => [name, `Bearer ${token}`]);
    expect(await authenticate({ headers })).toBeUndefined();
  });

  test('refuses two headers, however they arrive', async () => {
    const token = await staff.sign();
    const value = `Bearer ${token}`;
    const twice: RequestParts[] = [
      {
        headers: [
          ['authorization', value],
          ['authorization', value],
        ],
      },
      {
        headers: [
          ['authorization', value],
          ['Authorization', 'Basic YTpi'],
        ],
      },
      { headers: [['authorization', `${value},${value}`]], joined: true },
      { headers: [['authorization', `Basic YTpi, ${value}`]], joined: true },
      { headers: [['authorization', `${value},`]], joined: false },
    ];
    for (const parts of twice) {
      const sent = (parts.headers ?? []).map(([, text]) => text).join(', ');
      expect(await authenticate(parts)).toMatchObject({
        refusal: 'credentials_conflict',
        evidence: fingerprintOf(sent),
      });
    }
  });

  test.each([
    'Basic YTpi',
    'Digest x',
    'Bearer',
    'Bearer ',
    '',
    'Bearer  x',
    ' Bearer x',
    'Bearer x y',
    'Token x',
    'Bearerx',
  ])('refuses %j without falling back to no user', async (value) => {
    const answer = await authenticate({ headers: [['authorization', value]] });
    expect(answer).toMatchObject({ refusal: 'token_malformed', evidence: fingerprintOf(value) });
  });

  test('never repeats the header in a refusal', async () => {
    const answer = await authenticate({ headers: [['authorization', 'Basic c2VjcmV0OnNlY3JldA==']] });
    expect(JSON.stringify(answer)).not.toContain('c2VjcmV0');
  });

  test('passes the reason of a bad token on', async () => {
    const token = await staff.sign({ exp: START / 1000 - 60 });
    expect(await authenticate({ headers: [['authorization', `Bearer ${token}`]] })).toEqual({
      refusal: 'token_expired',
      detail: 'expired 60 s ago',
      evidence: `sha256:${createHash('sha256').update(token).digest('base64url')}`,
    });
  });

  test('refuses a device assertion in place of a user token', async () => {
    const token = await mdm.sign();
    expect(await authenticate({ headers: [['authorization', `Bearer ${token}`]] })).toMatchObject({
      refusal: 'token_issuer_unknown',
    });
  });

  test('refuses an underscore twin of a configured header (CVE-2025-64484)', async () => {
    const value = await staff.sign();
    const headers: [string, string][] = [
      ['x-user-token', value],
      ['x_user_token', value],
    ];
    expect(await authenticate({ headers }, 'x-user-token')).toMatchObject({ refusal: 'header_ambiguous' });
    expect(await authenticate({ headers: headers.slice(0, 1) }, 'x-user-token')).toMatchObject({
      id: 'staff/alice',
    });
  });

  test('reads the header of each issuer and no other, not even authorization', async () => {
    const token = await staff.sign();
    expect(await authenticate({ headers: [['authorization', `Bearer ${token}`]] }, 'x-user-token')).toBe(
      undefined,
    );
    expect(
      await authenticate({ headers: [['x-user-token', `Bearer ${token}`]] }, 'x-user-token'),
    ).toMatchObject({ refusal: 'token_malformed' });
  });

  test('refuses two credentials, whichever two headers they come in and whatever they are', async () => {
    const both = [...issuers, proxyOf(staff.issuer)];
    const keySets = new Map(both.map(({ name }) => [name, keySetOf(name, name === 'mdm' ? mdm : staff)]));
    const user = createUserAuthenticator({
      verifier: createTokenVerifier(both, keySets, manualClock()),
      issuers: both,
    });
    const token = await staff.sign();
    const cases: [string, string, string][] = [
      [`Bearer ${token}`, token, 'credentials_conflict'],
      ['Basic YTpi', token, 'credentials_conflict'],
      [`Bearer ${token}`, '', 'credentials_conflict'],
    ];
    for (const [authorization, assertion, refusal] of cases) {
      const headers: [string, string][] = [
        ['authorization', authorization],
        ['x-proxy-assertion', assertion],
      ];
      expect(await user.authenticate(receivedWith({ headers }), {})).toMatchObject({ refusal });
      expect(await user.authenticate(receivedWith({ headers: headers.toReversed() }), {})).toMatchObject({
        refusal,
      });
    }
    expect(
      await user.authenticate(receivedWith({ headers: [['x-proxy-assertion', token]] }), {}),
    ).toMatchObject({ id: 'proxy/alice' });
  });

  test('refuses a token in the header of another issuer', async () => {
    const all = [...issuers, proxyOf('https://proxy.example.com')];
    const keySets = new Map(all.map(({ name }) => [name, keySetOf(name, name === 'mdm' ? mdm : staff)]));
    const user = createUserAuthenticator({
      verifier: createTokenVerifier(all, keySets, manualClock()),
      issuers: all,
    });
    const answer = await user.authenticate(
      receivedWith({ headers: [['x-proxy-assertion', await staff.sign()]] }),
      {},
    );
    expect(answer).toEqual({
      refusal: 'token_issuer_unknown',
      detail: "tokens of issuer 'staff' come in the header 'authorization', not in 'x-proxy-assertion'",
      evidence: expect.stringMatching(/^sha256:[\w-]{43}$/) as string,
    });
  });

  test('names the issuers whose keys are missing', () => {
    expect(createUserAuthenticator({ verifier, issuers }).missingKeys()).toEqual([]);
    expect(
      createUserAuthenticator({ verifier: { ...verifier, missingKeys: () => ['x'] }, issuers }).missingKeys(),
    ).toEqual(['x']);
  });
});
