import { beforeAll, describe, expect, test } from 'vitest';
import type { Workloads } from '../../../../src/pdp/identity.ts';
import { type BindingRule, createIssuer } from '../../../../src/pip/token/issuer.ts';
import { createTokenVerifier } from '../../../../src/pip/token/token-verifier.ts';
import { createUserAuthenticator } from '../../../../src/pip/token/user-token.ts';
import { type TestIssuer, createTestIssuer } from '../../../support/tokens.ts';
import { START, keySetOf, manualClock, receivedWith } from '../fixture.ts';

const AUD = 'https://api.example.com';
const OURS = 'A'.repeat(43);
const OTHER = `${'A'.repeat(42)}E`;
let staff: TestIssuer;

beforeAll(async () => {
  staff = await createTestIssuer({ issuer: 'https://id.example.com', audience: AUD, now: () => START });
});

interface Case {
  readonly cnf?: unknown;
  readonly rule?: BindingRule;
  readonly scheme?: string;
  readonly certificate?: string;
}

async function authenticate({ cnf, rule = 'none', scheme = 'Bearer', certificate }: Case) {
  const issuer = createIssuer({
    name: 'staff',
    issuer: staff.issuer,
    use: 'user',
    audiences: [AUD],
    algorithms: ['ES256'],
    types: ['at+jwt'],
    binding: rule,
  });
  const verifier = createTokenVerifier(
    [issuer],
    new Map([['staff', keySetOf('staff', staff)]]),
    manualClock(),
    {
      maxBytes: 1_000_000,
      maxAgeMs: 60_000,
    },
  );
  const user = createUserAuthenticator({ verifier, issuers: [issuer] });
  const headers: [string, string][] = [['authorization', `${scheme} ${await staff.sign({ cnf })}`]];
  const workloads: Workloads = certificate === undefined ? {} : { certificate: { fingerprint: certificate } };
  const first = await user.authenticate(receivedWith({ headers }), workloads);
  // What is known of the token must not change what is asked of its sender.
  expect(await user.authenticate(receivedWith({ headers }), workloads)).toEqual(first);
  return first;
}

describe('a token that is bound to a certificate (RFC 8705)', () => {
  test('is taken from whoever shows that certificate', async () => {
    expect(await authenticate({ cnf: { 'x5t#S256': OURS }, certificate: OURS })).toMatchObject({
      id: 'staff/alice',
      token: { confirmation: { certificate: OURS } },
    });
  });

  test.each<[string, Case, RegExp]>([
    ['another certificate', { cnf: { 'x5t#S256': OURS }, certificate: OTHER }, /another certificate/],
    ['no certificate', { cnf: { 'x5t#S256': OURS } }, /sent none of the source/],
    ['a certificate, but not the key', { cnf: { 'x5t#S256': OURS, jkt: OURS }, certificate: OURS }, /DPoP/],
  ])('is refused with %s', async (_, question, detail) => {
    expect(await authenticate(question)).toEqual({
      refusal: 'token_binding_failed',
      detail: expect.stringMatching(detail) as string,
      evidence: expect.stringMatching(/^sha256:[\w-]{43}$/) as string,
    });
  });
});

describe('a binding that cannot be checked', () => {
  test.each<[string, unknown]>([
    ['an unknown method', { jwk: { kty: 'EC' } }],
    ['an unknown method beside a known one', { 'x5t#S256': OURS, x5u: 'https://a' }],
    ['no method', {}],
    ['null', null],
    ['a list', [OURS]],
    ['a string', OURS],
    ['a thumbprint that is no SHA-256', { jkt: 'short' }],
    ['a thumbprint with unused bits set', { jkt: `${'A'.repeat(42)}B` }],
    ['a number', { 'x5t#S256': 1 }],
  ])('never makes a bearer token of it: %s', async (_, cnf) => {
    expect(await authenticate({ cnf, certificate: OURS })).toMatchObject({ refusal: 'token_binding_failed' });
  });

  test('is refused under the scheme Bearer where it needs a proof', async () => {
    expect(await authenticate({ cnf: { jkt: OURS } })).toMatchObject({
      refusal: 'token_binding_failed',
      detail: expect.stringContaining('not sent under the scheme DPoP') as string,
    });
  });

  test('is unverifiable where DPoP is not set up', async () => {
    expect(await authenticate({ cnf: { jkt: OURS }, scheme: 'DPoP' })).toMatchObject({
      refusal: 'token_unverifiable',
    });
  });
});

describe('a token without a binding', () => {
  test('is refused under the scheme DPoP', async () => {
    expect(await authenticate({ scheme: 'DPoP' })).toMatchObject({ refusal: 'token_binding_failed' });
  });

  test.each<[BindingRule, unknown, boolean]>([
    ['none', undefined, true],
    ['certificate', undefined, false],
    ['dpop', undefined, false],
    ['any', undefined, false],
    ['certificate', { 'x5t#S256': OURS }, true],
    ['any', { 'x5t#S256': OURS }, true],
    ['dpop', { 'x5t#S256': OURS }, false],
  ])('meets the rule %s with %j: %s', async (rule, cnf, taken) => {
    const answer = await authenticate({ cnf, rule, certificate: OURS });
    expect(answer).toMatchObject(taken ? { id: 'staff/alice' } : { refusal: 'token_binding_failed' });
  });
});
