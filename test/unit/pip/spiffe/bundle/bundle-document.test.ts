import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  readBundleFile,
  readPemBundle,
  readSpiffeBundle,
  readSpiffeBundleMap,
} from '../../../../../src/pip/spiffe/bundle/bundle-document.ts';
import { type TestCa, createTestCa } from '../../../../support/test-ca.ts';
import { keyPair } from '../../../../support/x509.ts';

const DOMAIN = 'prod.example.com';

let ca: TestCa;
let next: TestCa;
const opened = new AsyncDisposableStack();

beforeAll(async () => {
  ca = opened.use(await createTestCa(DOMAIN));
  next = opened.use(await createTestCa(DOMAIN));
});

afterAll(() => opened.disposeAsync());

function x509Key(authority: TestCa): object {
  return { kty: 'EC', crv: 'P-256', use: 'x509-svid', x5c: [authority.der.toString('base64')] };
}

function jwtKey(kid: string | undefined, kind: 'P-256' | 'RSA-1024' = 'P-256'): object {
  return { ...keyPair(kind).publicKey.export({ format: 'jwk' }), use: 'jwt-svid', ...(kid && { kid }) };
}

function read(document: object) {
  return readSpiffeBundle(JSON.stringify(document), DOMAIN);
}

function refusal(words: string) {
  return { problem: expect.stringContaining(words) };
}

describe('a bundle document', () => {
  test('gives the CA certificates and the keys of JWT-SVIDs', () => {
    const read1 = read({ keys: [x509Key(ca), jwtKey('one'), x509Key(next), jwtKey('two')] });
    expect(read1).toMatchObject({
      bundle: { trustDomain: DOMAIN, jwtAuthorities: [{ kid: 'one' }, { kid: 'two' }] },
    });
    const authorities = 'bundle' in read1 ? read1.bundle.x509Authorities : [];
    expect(authorities.map(({ raw }) => raw)).toEqual([ca.der, next.der]);
  });

  test('without keys is valid and holds nothing: it revokes everything', () => {
    expect(read({ keys: [] })).toEqual({
      bundle: { trustDomain: DOMAIN, x509Authorities: [], jwtAuthorities: [] },
    });
  });

  test('passes over keys of unknown type or use, and x509-svid keys without a certificate', () => {
    const keys = [
      { kty: 'AKP', use: 'x509-svid', x5c: ['?'] },
      { kty: 'EC', use: 'wit-svid', kid: 'w' },
      { kty: 'EC' },
      { kty: 'EC', use: 'x509-svid' },
      { kty: 'EC', use: 'x509-svid', x5c: [] },
      x509Key(ca),
    ];
    expect(read({ keys })).toHaveProperty('bundle.x509Authorities.length', 1);
  });

  test('takes only the first certificate of a key', () => {
    const key = { ...x509Key(ca), x5c: [ca.der.toString('base64'), next.der.toString('base64')] };
    expect(read({ keys: [key] })).toHaveProperty('bundle.x509Authorities.length', 1);
  });

  test.each([
    ['0', 0n],
    ['9007199254740993', 9_007_199_254_740_993n],
    ['18446744073709551615', 2n ** 64n - 1n],
  ])('has a sequence that is exact: %s', (text, sequence) => {
    const document = `{ "keys": [], "spiffe_sequence": ${text} }`;
    expect(readSpiffeBundle(document, DOMAIN)).toHaveProperty('sequence', sequence);
  });

  test.each(['18446744073709551616', '-1', '1.5', '1e3', '"12"', '"#12"', 'null', '[1]', 'true'])(
    'is refused with the sequence %s',
    (text) => {
      const document = `{ "keys": [], "spiffe_sequence": ${text} }`;
      expect(readSpiffeBundle(document, DOMAIN)).toEqual(refusal('spiffe_sequence'));
    },
  );

  test('says how often to look for a change', () => {
    expect(read({ keys: [], spiffe_refresh_hint: 300 })).toHaveProperty('refreshHintMs', 300_000);
    expect(read({ keys: [], spiffe_refresh_hint: Number.MAX_SAFE_INTEGER })).toHaveProperty(
      'refreshHintMs',
      366 * 86_400_000,
    );
    for (const hint of [-1, 1.5, '300', null])
      expect(read({ keys: [], spiffe_refresh_hint: hint })).toEqual(refusal('spiffe_refresh_hint'));
  });

  test.each([
    ['the keys twice', '{"keys":[],"keys":[]}', "'keys' twice"],
    ['a repeated name deep inside', '{"keys":[{"kty":"x","a":{"b":1,"b":2}}]}', "'b' twice"],
    ['a name spelled with escapes', '{"keys":[],"\\u006beys":[]}', 'backslash'],
    ['a reserved name', '{"keys":[],"__proto__":{}}', '__proto__'],
    ['something that is not JSON', '{"keys":[]', 'is not JSON'],
    ['an array', '[]', 'is not a JSON object'],
    ['no keys', '{}', "no array 'keys'"],
    ['a key that is no object', '{"keys":["x"]}', 'not an object'],
    ['a symmetric key', '{"keys":[{"kty":"oct","k":"AAAA"}]}', 'private or symmetric'],
    ['a private key', '{"keys":[{"kty":"EC","d":"AAAA"}]}', 'private or symmetric'],
    [
      'a certificate that is none',
      '{"keys":[{"kty":"EC","use":"x509-svid","x5c":["AAAA"]}]}',
      'cannot be read',
    ],
    [
      'a certificate that is not base64',
      '{"keys":[{"kty":"EC","use":"x509-svid","x5c":["A-_"]}]}',
      'not base64',
    ],
    ['a certificate that is not text', '{"keys":[{"kty":"EC","use":"x509-svid","x5c":[1]}]}', 'not text'],
    [
      'a JWT key that is none',
      '{"keys":[{"kty":"EC","use":"jwt-svid","kid":"a"}]}',
      "'a', which cannot be read",
    ],
  ])('is refused as a whole with %s', (_what, text, words) => {
    expect(readSpiffeBundle(text, DOMAIN)).toEqual(refusal(words));
  });

  test('the same name in different objects is no repetition', () => {
    expect(read({ keys: [jwtKey('a'), jwtKey('b')], note: { keys: '"keys":' } })).toHaveProperty('bundle');
  });

  test('is refused with a JWT key that has no kid, that of another, or is weak', () => {
    expect(read({ keys: [jwtKey(undefined)] })).toEqual(refusal("without a 'kid'"));
    expect(read({ keys: [jwtKey('a'), jwtKey('a')] })).toEqual(refusal('same kid'));
    expect(read({ keys: [jwtKey('a', 'RSA-1024')] })).toEqual(refusal('1024 bits'));
  });

  test('is refused with a certificate that is not that of a CA', async () => {
    const { chain } = await ca.issue({ spiffeId: `spiffe://${DOMAIN}/x` });
    const x5c = chain.map((der) => der.toString('base64'));
    expect(read({ keys: [{ kty: 'EC', use: 'x509-svid', x5c }] })).toEqual(refusal('not that of a CA'));
  });

  test('is refused where it is too large', () => {
    expect(readSpiffeBundle(`{"keys":[],"x":"${'a'.repeat(1_100_000)}"}`, DOMAIN)).toEqual(
      refusal('longer than'),
    );
    expect(read({ keys: Array.from({ length: 257 }, () => ({ kty: 'x' })) })).toEqual(
      refusal('more than 256'),
    );
  });

  test('never makes the reader throw', () => {
    const anything = fc.oneof(
      fc.json(),
      fc.string(),
      fc.json().map((json) => `{"keys":[${json}]}`),
    );
    fc.assert(
      fc.property(anything, (text) => {
        expect(Object.keys(readBundleFile(text, DOMAIN))).not.toHaveLength(0);
        readSpiffeBundleMap(text);
      }),
    );
  });
});

describe('a bundle map', () => {
  test('gives a bundle for each trust domain, never mixed', () => {
    const map = {
      trust_domains: { [DOMAIN]: { keys: [x509Key(ca)] }, 'b.example': { keys: [], spiffe_sequence: 7 } },
    };
    const bundles = readSpiffeBundleMap(JSON.stringify(map));
    if ('problem' in bundles) throw new Error(bundles.problem);
    expect(bundles.get(DOMAIN)?.bundle.x509Authorities).toHaveLength(1);
    expect(bundles.get('b.example')).toEqual({
      bundle: { trustDomain: 'b.example', x509Authorities: [], jwtAuthorities: [] },
      sequence: 7n,
    });
  });

  test.each([
    [
      'a trust domain twice',
      '{"trust_domains":{"a.example":{"keys":[]},"a.example":{"keys":[]}}}',
      "'a.example' twice",
    ],
    [
      'a name that is none',
      '{"trust_domains":{"A":{"keys":[]}}}',
      "of the trust domain 'A' has a trust domain",
    ],
    [
      'a bundle that is wrong',
      '{"trust_domains":{"a.example":{}}}',
      "of the trust domain 'a.example' has no array",
    ],
    ['no trust domains', '{"keys":[]}', "no object 'trust_domains'"],
  ])('is refused as a whole with %s', (_what, text, words) => {
    expect(readSpiffeBundleMap(text)).toEqual(refusal(words));
  });
});

describe('a bundle file', () => {
  test('may be PEM with notes between the certificates', () => {
    const read = readBundleFile(`# now\n${ca.bundle}\n# next\n${next.bundle}`, DOMAIN);
    expect(read).toHaveProperty('bundle.x509Authorities.length', 2);
    expect(read).toHaveProperty('bundle.jwtAuthorities', []);
  });

  test('may be a bundle document', () => {
    const text = `\n ${JSON.stringify({ keys: [x509Key(ca)] })}`;
    expect(readBundleFile(text, DOMAIN)).toHaveProperty('bundle.x509Authorities.length', 1);
  });

  test('may be a bundle map, of which only the one trust domain is taken', () => {
    const text = JSON.stringify({
      trust_domains: { 'a.example': { keys: [] }, [DOMAIN]: { keys: [x509Key(ca)] } },
    });
    expect(readBundleFile(text, DOMAIN)).toHaveProperty('bundle.x509Authorities.length', 1);
    expect(readBundleFile(text, 'c.example')).toEqual(refusal("does not hold the trust domain 'c.example'"));
  });

  test('in PEM is refused where it is empty, cut off, or holds something else', () => {
    const key = keyPair().privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
    expect(readPemBundle('', DOMAIN)).toEqual(refusal('holds no certificate'));
    expect(readPemBundle(ca.bundle.slice(0, -40), DOMAIN)).toEqual(refusal('whole certificates'));
    expect(readPemBundle(ca.bundle + next.bundle.slice(0, 100), DOMAIN)).toEqual(
      refusal('whole certificates'),
    );
    expect(readPemBundle(ca.bundle + key, DOMAIN)).toEqual(refusal('private key'));
    expect(readPemBundle(ca.bundle.replace('MII', 'AAA'), DOMAIN)).toEqual(refusal('cannot be read'));
    expect(readPemBundle('x'.repeat(1_100_000), DOMAIN)).toEqual(refusal('longer than'));
  });
});
