import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { readJwks } from '../../../../src/pip/jwks/jwks-document.ts';

const EC = { kty: 'EC', crv: 'P-256', x: 'x', y: 'y', kid: 'a' };
const RSA = { kty: 'RSA', e: 'AQAB', n: Buffer.alloc(256, 0xff).toString('base64url'), kid: 'b' };

function read(...keys: unknown[]) {
  return readJwks(JSON.stringify({ keys }));
}

describe('key set document', () => {
  test('keeps public signature keys', () => {
    expect(read(EC, { ...RSA, use: 'sig' })).toEqual({ keys: [EC, { ...RSA, use: 'sig' }] });
  });

  test('passes over keys for other uses and of other kinds (RFC 7517 §5)', () => {
    expect(
      read({ ...EC, use: 'enc' }, { kty: 'NEW' }, { kid: 'x' }, { ...EC, kid: 7 }, null, 'key', EC),
    ).toEqual({
      keys: [EC],
    });
  });

  test('passes over RSA keys under 2048 bits, leading zeros aside', () => {
    const modulus = (bytes: number[]): string => Buffer.from(bytes).toString('base64url');
    const bytes2048 = [0x80, ...Array.from({ length: 255 }, () => 1)];
    expect(read({ ...RSA, n: modulus(bytes2048) })).toEqual({ keys: [{ ...RSA, n: modulus(bytes2048) }] });
    expect(read({ ...RSA, n: modulus([0, ...bytes2048]) })).toMatchObject({ keys: [{ kid: 'b' }] });
    expect(read({ ...RSA, n: modulus([0x7f, ...bytes2048.slice(1)]) })).toEqual({ keys: [] });
    expect(read({ ...RSA, n: modulus([0, ...bytes2048.slice(1)]) })).toEqual({ keys: [] });
    expect(read({ ...RSA, n: modulus([0, 0]) }, { ...RSA, n: 7 })).toEqual({ keys: [] });
  });

  test('takes the empty set, by which an issuer withdraws its keys', () => {
    expect(read()).toEqual({ keys: [] });
  });

  test.each([{ ...EC, d: 'private' }, { ...RSA, d: 'private' }, { kty: 'oct', k: 'secret' }, { kty: 'oct' }])(
    'refuses a set that publishes %j',
    (secret) => {
      expect(read(EC, secret)).toEqual({ problem: 'publishes a private or symmetric key' });
    },
  );

  test.each([
    ['', 'is not a JSON object'],
    ['<html>', 'is not a JSON object'],
    ['[]', 'is not a JSON object'],
    ['null', 'is not a JSON object'],
    ['{}', "has no 'keys' array"],
    ['{"keys":{}}', "has no 'keys' array"],
    ['{"keys":[{"__proto__":1}]}', "holds the reserved key '__proto__'"],
    [JSON.stringify({ keys: Array.from({ length: 101 }, () => EC) }), 'has more than 100 keys'],
  ])('refuses %j', (text, problem) => {
    expect(readJwks(text)).toEqual({ problem });
  });

  test('never throws', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          fc.json(),
          fc.array(fc.jsonValue()).map((keys) => JSON.stringify({ keys })),
        ),
        (text) => {
          expect(readJwks(text)).toBeTypeOf('object');
        },
      ),
    );
  });
});
