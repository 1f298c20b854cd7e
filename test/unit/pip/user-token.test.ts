import { beforeAll, describe, expect, test } from 'vitest';
import { createIssuer } from '../../../src/pip/issuer.ts';
import { type TokenVerifier, createTokenVerifier } from '../../../src/pip/token-verifier.ts';
import { createUserAuthenticator } from '../../../src/pip/user-token.ts';
import { type TestIssuer, createTestIssuer } from '../../support/tokens.ts';
import { START, keySetOf, manualClock, receivedWith, type RequestParts } from './fixture.ts';

const AUD = 'https://api.example.com';
let staff: TestIssuer;
let mdm: TestIssuer;
let verifier: TokenVerifier;

beforeAll(async () => {
  staff = await createTestIssuer({ issuer: 'https://id.example.com', audience: AUD, now: () => START });
  mdm = await createTestIssuer({ issuer: 'https://mdm.example.com', audience: AUD, now: () => START });
  const common = { audiences: [AUD], algorithms: ['ES256'], types: ['at+jwt'] };
  verifier = createTokenVerifier(
    [
      createIssuer({ ...common, name: 'staff', issuer: staff.issuer, use: 'user' }),
      createIssuer({ ...common, name: 'mdm', issuer: mdm.issuer, use: 'device' }),
    ],
    new Map([
      ['staff', keySetOf('staff', staff)],
      ['mdm', keySetOf('mdm', mdm)],
    ]),
    manualClock(),
  );
});

function authenticate(parts: RequestParts, header?: string) {
  const options = header === undefined ? { verifier } : { verifier, header };
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
      expect(await authenticate(parts)).toMatchObject({ refusal: 'credentials_conflict' });
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
    expect(answer).toMatchObject({ refusal: 'token_malformed' });
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
    });
  });

  test('refuses a device assertion in place of a user token', async () => {
    const token = await mdm.sign();
    expect(await authenticate({ headers: [['authorization', `Bearer ${token}`]] })).toMatchObject({
      refusal: 'token_issuer_unknown',
    });
  });

  test('refuses an underscore twin of a configured header (CVE-2025-64484)', async () => {
    const value = `Bearer ${await staff.sign()}`;
    const headers: [string, string][] = [
      ['x-user-token', value],
      ['x_user_token', value],
    ];
    expect(await authenticate({ headers }, 'x-user-token')).toMatchObject({ refusal: 'header_ambiguous' });
    expect(await authenticate({ headers: headers.slice(0, 1) }, 'x-user-token')).toMatchObject({
      id: 'staff/alice',
    });
  });

  test('names the issuers whose keys are missing', () => {
    expect(createUserAuthenticator({ verifier }).missingKeys()).toEqual([]);
    expect(
      createUserAuthenticator({ verifier: { ...verifier, missingKeys: () => ['x'] } }).missingKeys(),
    ).toEqual(['x']);
  });
});
