import { type KeyObject, createPublicKey, generateKeyPairSync } from 'node:crypto';
import { expect, test } from 'vitest';
import { keyFloorProblem } from '../../../../../src/pip/spiffe/x509/crypto-floor.ts';

/** A public RSA key of that many bits; nobody has its private half. */
function rsaKey(bits: number): KeyObject {
  const n = Buffer.alloc(bits / 8, 0xff).toString('base64url');
  return createPublicKey({ key: { kty: 'RSA', n, e: 'AQAB' }, format: 'jwk' });
}

test.each([2048, 3072, 4096, 8192])('an RSA key of %i bits counts', (bits) => {
  expect(keyFloorProblem(rsaKey(bits))).toBeUndefined();
});

test.each([1024, 2040, 8200, 16_384])('an RSA key of %i bits does not', (bits) => {
  expect(keyFloorProblem(rsaKey(bits))).toContain(`${bits} bits`);
});

test('keys that do not sign, or that few can verify, do not count', () => {
  for (const { publicKey } of [generateKeyPairSync('x25519'), generateKeyPairSync('ed448')])
    expect(keyFloorProblem(publicKey)).toContain('has a key that is not');
});
