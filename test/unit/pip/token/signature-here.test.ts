import { generateKeyPairSync, sign } from 'node:crypto';
import { compactVerify } from 'jose';
import fc from 'fast-check';
import { beforeEach, describe, expect, test } from 'vitest';
import { verifiedHere } from '../../../../src/pip/token/signature-here.ts';

type Key = Parameters<typeof verifiedHere>[2];
const { subtle } = globalThis.crypto;

const P256 = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const RSA = generateKeyPairSync('rsa', { modulusLength: 2048 });
const CURVE = { name: 'ECDSA', namedCurve: 'P-256' };
const RSA_SHA256 = { name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-256' };

async function imported(
  key: { readonly publicKey: { export(options: { format: 'jwk' }): object } },
  algorithm: Parameters<typeof subtle.importKey>[2],
  extractable = true,
): Promise<Key> {
  return await subtle.importKey('jwk', key.publicKey.export({ format: 'jwk' }), algorithm, extractable, [
    'verify',
  ]);
}

function part(value: object): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url');
}

function es256(claims: object = { sub: 'alice' }): string {
  const input = `${part({ alg: 'ES256' })}.${part(claims)}`;
  const signature = sign('sha256', Buffer.from(input), { key: P256.privateKey, dsaEncoding: 'ieee-p1363' });
  return `${input}.${signature.toString('base64url')}`;
}

function rs256(): string {
  const input = `${part({ alg: 'RS256' })}.${part({ sub: 'alice' })}`;
  return `${input}.${sign('sha256', Buffer.from(input), RSA.privateKey).toString('base64url')}`;
}

describe('a signature that is checked on the serving thread', () => {
  // Each test begins in a turn of its own, in which nothing was checked yet.
  beforeEach(async () => {
    await new Promise((resolve) => void setImmediate(() => setImmediate(resolve)));
  });

  test('is found right or wrong', async () => {
    const [curve, rsa] = [await imported(P256, CURVE), await imported(RSA, RSA_SHA256)];
    expect(verifiedHere(es256(), 'ES256', curve)).toBe(true);
    expect(verifiedHere(rs256(), 'RS256', rsa)).toBe(true);
    const [header, , signature] = es256().split('.');
    expect(verifiedHere(`${header}.${part({ sub: 'mallory' })}.${signature}`, 'ES256', curve)).toBe(false);
    expect(verifiedHere(rs256().replace(/\.[^.]*$/, '.AAAA'), 'RS256', rsa)).toBe(false);
  });

  test('is found wrong by the key of somebody else', async () => {
    const others = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    expect(verifiedHere(es256(), 'ES256', await imported(others, CURVE))).toBe(false);
  });

  test('is right exactly where the thread pool finds it right', async () => {
    const key = await imported(P256, CURVE);
    const token = es256();
    const [header, payload, signature = ''] = token.split('.');
    const bytes = Buffer.from(signature, 'base64url');
    const changed = fc.oneof(
      fc.constant(bytes),
      fc.uint8Array({ maxLength: 80 }).map((any) => Buffer.from(any)),
      fc.tuple(fc.nat(63), fc.nat(255)).map(([at, byte]) => Buffer.from(bytes).fill(byte, at, at + 1)),
      fc.nat(64).map((length) => bytes.subarray(0, length)),
      fc.constantFrom(Buffer.alloc(64), Buffer.alloc(64, 0xff), Buffer.concat([bytes, Buffer.alloc(1)])),
    );
    await fc.assert(
      fc.asyncProperty(changed, async (other) => {
        await new Promise((resolve) => void setImmediate(resolve));
        const text = `${header}.${payload}.${other.toString('base64url')}`;
        const pooled = compactVerify(text, key, { algorithms: ['ES256'] });
        const right = await pooled.then(
          () => true,
          () => false,
        );
        expect(verifiedHere(text, 'ES256', key)).toBe(right);
      }),
      { numRuns: 300 },
    );
  });

  test('is one of four in a turn of the event loop; more are for the thread pool', async () => {
    const key = await imported(P256, CURVE);
    const token = es256();
    await new Promise((resolve) => void setImmediate(resolve));
    const checked = Array.from({ length: 20 }, () => verifiedHere(token, 'ES256', key));
    expect(checked).toEqual([...Array<boolean>(4).fill(true), ...Array<undefined>(16).fill(undefined)]);
    await new Promise((resolve) => void setImmediate(() => setImmediate(resolve)));
    expect(verifiedHere(token, 'ES256', key)).toBe(true);
  });

  test('is by a key that is exactly one for its algorithm', async () => {
    const p384 = generateKeyPairSync('ec', { namedCurve: 'P-384' });
    const weak = generateKeyPairSync('rsa', { modulusLength: 1024 });
    const large = generateKeyPairSync('rsa', { modulusLength: 5120 });
    const unfit: readonly (readonly [string, Key])[] = [
      ['ES256', await imported(p384, { name: 'ECDSA', namedCurve: 'P-384' })],
      ['ES256', await imported(P256, CURVE, false)],
      ['ES256', await imported(RSA, RSA_SHA256)],
      ['RS256', await imported(P256, CURVE)],
      ['RS256', await imported(RSA, { name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-512' })],
      ['RS256', await imported(RSA, { name: 'RSA-PSS', hash: 'SHA-256' })],
      ['RS256', await imported(weak, RSA_SHA256)],
      ['RS256', await imported(large, RSA_SHA256)],
    ];
    for (const [algorithm, key] of unfit) expect(verifiedHere(es256(), algorithm, key)).toBeUndefined();
  });

  test.each(['ES384', 'ES512', 'RS512', 'PS256', 'EdDSA', 'none', 'HS256', 'toString', '__proto__'])(
    'is not one by %s',
    async (algorithm) => {
      expect(verifiedHere(es256(), algorithm, await imported(P256, CURVE))).toBeUndefined();
    },
  );
});
