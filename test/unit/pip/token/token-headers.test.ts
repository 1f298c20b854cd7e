import { expect, test } from 'vitest';
import { createIssuer } from '../../../../src/pip/token/issuer.ts';
import { createHeaderOfToken } from '../../../../src/pip/token/token-headers.ts';

const ISS = 'https://id.example.com';
const encoded = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
const tokenOf = (payload: object, header: object = {}) =>
  `${encoded({ alg: 'ES256', ...header })}.${encoded(payload)}.c2ln`;

function issuer(name: string, more: Partial<Parameters<typeof createIssuer>[0]>) {
  const rules = { audiences: ['app'], algorithms: ['ES256'], types: ['JWT'] };
  return createIssuer({ name, issuer: ISS, use: 'user', ...rules, ...more });
}

test('a token comes in the header of the issuer that it names', () => {
  const headerOf = createHeaderOfToken([
    issuer('staff', {}),
    issuer('proxy', { issuer: 'https://proxy.example.com', header: 'x-assertion' }),
    issuer('balancer', { issuer: 'https://lb.example.com', header: 'x-lb', registeredIn: 'header' }),
  ]);
  expect(headerOf(tokenOf({ iss: ISS }))).toBe('authorization');
  expect(headerOf(tokenOf({ iss: 'https://proxy.example.com' }))).toBe('x-assertion');
  expect(headerOf(tokenOf({}, { iss: 'https://lb.example.com' }))).toBe('x-lb');
});

test.each([
  ['that nobody knows', tokenOf({ iss: 'https://other.example.com' })],
  ['without an issuer', tokenOf({})],
  ['that is none', 'a.b.c'],
  ['that is too long', 'x'.repeat(100_000)],
])('a token %s comes where tokens usually come', (_which, token) => {
  expect(createHeaderOfToken([issuer('proxy', { header: 'x-assertion' })])(token)).toBe('authorization');
});

test('an issuer whose tokens come in two headers has its usual one, and one that is not for users counts for nothing', () => {
  const token = tokenOf({ iss: ISS });
  const both = [issuer('proxy', { header: 'x-assertion' }), issuer('staff', {})];
  expect(createHeaderOfToken(both)(token)).toBe('authorization');
  const device = issuer('mdm', { use: 'device' });
  expect(createHeaderOfToken([device, issuer('proxy', { header: 'x-assertion' })])(token)).toBe(
    'x-assertion',
  );
});
