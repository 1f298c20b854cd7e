import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  normalisePrincipal,
  parseSpiffeId,
  trustDomainProblem,
} from '../../../../src/pip/spiffe/spiffe-id.ts';

const allBytes = Array.from({ length: 256 }, (_, code) => String.fromCharCode(code));
const tdCharacters = allBytes.filter((character) => /[a-z0-9._-]/.test(character));
const pathCharacters = allBytes.filter((character) => /[A-Za-z0-9._-]/.test(character));

function isValid(text: string): boolean {
  return !('invalid' in parseSpiffeId(text));
}

describe('SPIFFE ID parser', () => {
  test('reads a Kubernetes workload', () => {
    expect(parseSpiffeId('spiffe://prod.example.com/ns/payments/sa/payment-api')).toEqual({
      id: 'spiffe://prod.example.com/ns/payments/sa/payment-api',
      trustDomain: 'prod.example.com',
      path: '/ns/payments/sa/payment-api',
      namespace: 'payments',
      serviceAccount: 'payment-api',
    });
  });

  test('reads other paths without inventing a namespace', () => {
    for (const path of [
      '/db',
      '/ns/a',
      '/ns/a/sa',
      '/ns/a/sa/b/c',
      '/x/ns/a/sa/b',
      '/NS/a/sa/b',
      '/ns/a/SA/b',
    ]) {
      expect(parseSpiffeId(`spiffe://td${path}`)).toEqual({
        id: `spiffe://td${path}`,
        trustDomain: 'td',
        path,
      });
    }
  });

  test('takes exactly the characters of §2.1 in a trust domain', () => {
    for (const character of allBytes) {
      expect([character, isValid(`spiffe://a${character}b/x`)]).toEqual([
        character,
        tdCharacters.includes(character) || character === '/',
      ]);
    }
  });

  test('takes exactly the characters of §2.2 in a path', () => {
    for (const character of allBytes) {
      expect([character, isValid(`spiffe://td/a${character}b`)]).toEqual([
        character,
        pathCharacters.includes(character) || character === '/',
      ]);
    }
  });

  test.each([
    ['', 'does not start with'],
    ['spiffe:/td/x', 'does not start with'],
    ['Spiffe://td/x', 'does not start with'],
    ['SPIFFE://td/x', 'does not start with'],
    [' spiffe://td/x', 'does not start with'],
    ['https://td/x', 'does not start with'],
    ['spiffe://', 'empty trust domain'],
    ['spiffe:///x', 'empty trust domain'],
    ['spiffe://td', 'no path'],
    ['spiffe://td/', "ends with '/'"],
    ['spiffe://td/x/', "ends with '/'"],
    ['spiffe://td//x', 'empty path segment'],
    ['spiffe://td/x//y', 'empty path segment'],
    ['spiffe://td/.', "'.' path segment"],
    ['spiffe://td/./x', "'.' path segment"],
    ['spiffe://td/x/..', "'..' path segment"],
    ['spiffe://td/../x', "'..' path segment"],
    ['spiffe://TD/x', 'trust domain with a character'],
    ['spiffe://user@td/x', 'trust domain with a character'],
    ['spiffe://td:8443/x', 'trust domain with a character'],
    ['spiffe://[::1]/x', 'trust domain with a character'],
    ['spiffe://t%64/x', 'trust domain with a character'],
    ['spiffe://td?x/y', 'trust domain with a character'],
    ['spiffe://td/x?y', 'path with a character'],
    ['spiffe://td/x#y', 'path with a character'],
    ['spiffe://td/x%2Fy', 'path with a character'],
    ['spiffe://td/x\\y', 'path with a character'],
    ['spiffe://td/x\0', 'path with a character'],
    ['spiffe://td/x\n', 'path with a character'],
    ['spiffe://td/жук', 'path with a character'],
  ])('refuses %j', (text, problem) => {
    expect(parseSpiffeId(text)).toEqual({ invalid: expect.stringContaining(problem) as string });
  });

  test('takes dots inside of segments and addresses as plain text', () => {
    for (const text of [
      'spiffe://td/...',
      'spiffe://td/a..b',
      'spiffe://td/.x',
      'spiffe://127.0.0.1/x',
      'spiffe://../x',
    ]) {
      expect([text, isValid(text)]).toEqual([text, true]);
    }
  });

  test('takes 2048 bytes and a trust domain of 255, and not one more', () => {
    const ofLength = (length: number): string => `spiffe://td/${'x'.repeat(length - 'spiffe://td/'.length)}`;
    expect(isValid(ofLength(2048))).toBe(true);
    expect(parseSpiffeId(ofLength(2049))).toEqual({ invalid: 'longer than 2048 bytes' });
    expect(isValid(`spiffe://${'a'.repeat(255)}/x`)).toBe(true);
    expect(isValid(`spiffe://${'a'.repeat(256)}/x`)).toBe(false);
  });

  test('gives back every valid ID unchanged and never throws on any text', () => {
    const segment = fc
      .string({ unit: fc.constantFrom(...pathCharacters), minLength: 1, maxLength: 12 })
      .filter((text) => text !== '.' && text !== '..');
    const id = fc
      .tuple(
        fc.string({ unit: fc.constantFrom(...tdCharacters), minLength: 1, maxLength: 40 }),
        fc.array(segment, { minLength: 1, maxLength: 6 }),
      )
      .map(([td, segments]) => `spiffe://${td}/${segments.join('/')}`);
    fc.assert(
      fc.property(id, (text) => {
        expect(parseSpiffeId(text)).toMatchObject({ id: text });
      }),
    );
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          fc.string().map((tail) => `spiffe://td/${tail}`),
        ),
        (text) => {
          const parsed = parseSpiffeId(text);
          if (!('invalid' in parsed)) expect(`spiffe://${parsed.trustDomain}${parsed.path}`).toBe(text);
        },
      ),
    );
  });
});

describe('principal of a peer', () => {
  test("reads Istio's form without a scheme as the same workload", () => {
    const full = 'spiffe://cluster.local/ns/a/sa/b';
    expect(normalisePrincipal('cluster.local/ns/a/sa/b')).toEqual(parseSpiffeId(full));
    expect(normalisePrincipal(full)).toEqual(parseSpiffeId(full));
  });

  test.each([
    'payments.example.com',
    'payments.example.com/db',
    'cluster.local/ns/a/sa/b/c',
    'cluster.local/ns/a/sa/',
    'CN=payments,O=Example',
    '/ns/a/sa/b',
    '//cluster.local/ns/a/sa/b',
    'http://cluster.local/ns/a/sa/b',
    'spiffe:cluster.local/ns/a/sa/b',
    'Cluster.local/ns/a/sa/b',
    '*',
    '',
  ])('does not take %j for a workload', (text) => {
    expect(normalisePrincipal(text)).toHaveProperty('invalid');
  });
});

describe('the name of a trust domain', () => {
  test('is lower case letters, digits, dots, dashes and underscores, and nothing more', () => {
    expect(trustDomainProblem('prod.example-1_a.com')).toBeUndefined();
    for (const name of ['', 'Prod', 'a/b', 'a:1', 'a b', 'ä', 'a'.repeat(256)])
      expect(trustDomainProblem(name), name).toBeTypeOf('string');
  });
});
