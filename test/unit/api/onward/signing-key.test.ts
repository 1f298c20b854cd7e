import { generateKeyPairSync } from 'node:crypto';
import { calculateJwkThumbprint, compactVerify, importJWK } from 'jose';
import { describe, expect, test } from 'vitest';
import {
  SIGNING_ALGORITHMS,
  generateSigningKey,
  readSigningKey,
  signCompact,
} from '../../../../src/api/onward/signing-key.ts';

const ed25519 = generateKeyPairSync('ed25519').privateKey;
const p256 = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;
const pkcs8 = { format: 'pem', type: 'pkcs8' } as const;

describe('a signing key', () => {
  test.each(SIGNING_ALGORITHMS)('for %s signs what its public half verifies', async (algorithm) => {
    const key = generateSigningKey(algorithm);
    const token = signCompact(key, 'test+jwt', { sub: 'ä"' });
    const { payload, protectedHeader } = await compactVerify(token, await importJWK({ ...key.jwk }), {
      algorithms: [algorithm],
    });
    expect(protectedHeader).toEqual({ alg: algorithm, typ: 'test+jwt', kid: key.jwk.kid });
    expect(JSON.parse(new TextDecoder().decode(payload))).toEqual({ sub: 'ä"' });
  });

  test.each(SIGNING_ALGORITHMS)('for %s publishes its public half alone', async (algorithm) => {
    const { jwk } = generateSigningKey(algorithm);
    expect(Object.keys(jwk).toSorted()).toEqual(
      ['alg', 'crv', 'kid', 'kty', 'use', 'x', ...(algorithm === 'ES256' ? ['y'] : [])].toSorted(),
    );
    expect(jwk).toMatchObject({ alg: algorithm, use: 'sig' });
    expect(jwk.kid).toBe(await calculateJwkThumbprint({ ...jwk }));
  });

  test('has the same id wherever it is read', () => {
    const pem = ed25519.export(pkcs8).toString();
    const [one, other] = [readSigningKey(pem), readSigningKey(`# ours\n${pem}`)];
    expect(one).toHaveProperty('jwk.kid');
    expect('jwk' in one && one.jwk).toEqual('jwk' in other && other.jwk);
    expect(readSigningKey(p256.export(pkcs8).toString())).toMatchObject({ algorithm: 'ES256' });
  });

  test.each<[string, string, string]>([
    ['nothing', '', 'PKCS #8'],
    ['a SEC 1 key', p256.export({ format: 'pem', type: 'sec1' }).toString(), 'PKCS #8'],
    [
      'an encrypted key',
      ed25519.export({ ...pkcs8, cipher: 'aes-256-cbc', passphrase: 'x' }).toString(),
      'unencrypted',
    ],
    [
      'a public key',
      generateKeyPairSync('ed25519').publicKey.export({ format: 'pem', type: 'spki' }).toString(),
      '',
    ],
    [
      'garbage',
      '-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n',
      'cannot be read|can be read',
    ],
    [
      'another curve',
      generateKeyPairSync('ec', { namedCurve: 'P-384' }).privateKey.export(pkcs8).toString(),
      'neither an Ed25519 nor a P-256',
    ],
    [
      'an RSA key',
      generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey.export(pkcs8).toString(),
      'neither an Ed25519 nor a P-256',
    ],
    [
      'a key for Diffie-Hellman',
      generateKeyPairSync('x25519').privateKey.export(pkcs8).toString(),
      'neither',
    ],
  ])('is not read from %s', (_what, pem, problem) => {
    expect(readSigningKey(pem)).toEqual({ problem: expect.stringMatching(problem) as string });
  });
});
