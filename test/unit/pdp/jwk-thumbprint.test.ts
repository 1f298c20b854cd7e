import { generateKeyPairSync } from 'node:crypto';
import fc from 'fast-check';
import { calculateJwkThumbprint, exportJWK } from 'jose';
import { describe, expect, test } from 'vitest';
import { jwkThumbprint } from '../../../src/pdp/jwk-thumbprint.ts';

describe('the thumbprint of a JWK', () => {
  test.each([
    ['EC', generateKeyPairSync('ec', { namedCurve: 'P-256' })],
    ['OKP', generateKeyPairSync('ed25519')],
    ['RSA', generateKeyPairSync('rsa', { modulusLength: 2048 })],
  ])(
    'of type %s is that of RFC 7638, whatever else the key says',
    async (_type, { publicKey, privateKey }) => {
      const jwk = await exportJWK(publicKey);
      const expected = await calculateJwkThumbprint(jwk, 'sha256');
      expect(jwkThumbprint(jwk)).toBe(expected);
      expect(jwkThumbprint({ use: 'sig', kid: 'a', ...jwk })).toBe(expected);
      expect(jwkThumbprint(await exportJWK(privateKey))).toBeUndefined();
    },
  );

  test.each<[string, unknown]>([
    ['a symmetric key', { kty: 'oct', k: 'c2VjcmV0' }],
    ['a type that is not known', { kty: 'AKP', pub: 'AA' }],
    ['a member that is missing', { kty: 'EC', crv: 'P-256', x: 'AA' }],
    ['a member that is not text', { kty: 'EC', crv: 'P-256', x: 'AA', y: 7 }],
    ['a member that is not base64url', { kty: 'OKP', crv: 'Ed25519', x: 'A"A' }],
    ['a member that is too long', { kty: 'OKP', crv: 'Ed25519', x: 'A'.repeat(2049) }],
    ['text', 'jwk'],
    ['nothing', null],
    ['a list', []],
  ])('is not made of %s', (_what, jwk) => {
    expect(jwkThumbprint(jwk)).toBeUndefined();
  });

  test('is 43 characters or nothing, and never an error', () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        expect(jwkThumbprint(value)?.length ?? 43).toBe(43);
      }),
    );
  });
});
