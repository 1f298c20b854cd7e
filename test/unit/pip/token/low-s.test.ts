import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { isRefusal } from '../../../../src/pdp/decision.ts';
import { createIssuer } from '../../../../src/pip/token/issuer.ts';
import { createLowS } from '../../../../src/pip/token/low-s.ts';
import { createTokenVerifier } from '../../../../src/pip/token/token-verifier.ts';
import { createTestIssuer } from '../../../support/tokens.ts';
import { START, keySetOf, manualClock } from '../fixture.ts';

/** Orders as FIPS 186 lists them, in decimal: another source than the code's. */
const ORDERS = {
  ES256: 115792089210356248762697446949407573529996955224135760342422259061068512044369n,
  ES384:
    39402006196394479212279040100143613805079739270465446667946905279627659399113263569398956308152294913554433653942643n,
  ES512:
    6864797660130609714981900799081393217269435300143305409394463459185543183397655394245057746333217197532963996371363321113864768612440380340372808892707005449n,
} as const;
type Algorithm = keyof typeof ORDERS;
const ALGORITHMS = Object.keys(ORDERS) as Algorithm[];

/** The other signature that is valid where this one is. */
function twinOf(token: string, algorithm: Algorithm): string {
  const [header = '', payload = '', signature = ''] = token.split('.');
  const bytes = Buffer.from(signature, 'base64url');
  const half = bytes.length / 2;
  const s = ORDERS[algorithm] - BigInt(`0x${bytes.toString('hex', half)}`);
  const twin = Buffer.concat([
    bytes.subarray(0, half),
    Buffer.from(s.toString(16).padStart(2 * half, '0'), 'hex'),
  ]);
  return `${header}.${payload}.${twin.toString('base64url')}`;
}

async function setUp(alg: Algorithm, requireLowS = false) {
  const idp = await createTestIssuer({
    issuer: 'https://id.example.com',
    audience: 'pdp',
    now: () => START,
    alg,
  });
  const issuer = createIssuer({
    name: 'idp',
    issuer: idp.issuer,
    use: 'user',
    audiences: ['pdp'],
    algorithms: [alg],
    types: ['at+jwt'],
    requireLowS,
  });
  const keySets = new Map([['idp', keySetOf('idp', idp)]]);
  const caching = { maxBytes: 10_000_000, maxAgeMs: 60_000 };
  const verifier = createTokenVerifier([issuer], keySets, manualClock(), caching);
  return { idp, verify: (token: string) => verifier.verify(token, 'user', START) };
}

describe.each(ALGORITHMS)('the two signatures of an %s token', (algorithm) => {
  test('are one token: one cache entry, one decision, whichever comes first', async () => {
    const { idp, verify } = await setUp(algorithm);
    const lower = createLowS();
    await fc.assert(
      fc.asyncProperty(fc.stringMatching(/^[a-z]{1,20}$/), fc.boolean(), async (sub, twinFirst) => {
        const token = await idp.sign({ sub });
        const twin = twinOf(token, algorithm);
        expect(twin).not.toBe(token);
        expect(lower(twin).token).toBe(lower(token).token);
        expect(lower(twin).wasHigh).not.toBe(lower(token).wasHigh);
        const [first, second] = twinFirst ? [twin, token] : [token, twin];
        const verified = await verify(first);
        expect(verified).toMatchObject({ subject: sub });
        // The very same object: the second spelling found the entry of the first.
        expect(await verify(second)).toBe(verified);
      }),
      { numRuns: algorithm === 'ES256' ? 40 : 6 },
    );
  });

  test('are told apart where the issuer only makes the low one', async () => {
    const { idp, verify } = await setUp(algorithm, true);
    const token = await idp.sign();
    const [low, high] = createLowS()(token).wasHigh
      ? [twinOf(token, algorithm), token]
      : [token, twinOf(token, algorithm)];
    for (let round = 0; round < 2; round++) {
      expect(await verify(high)).toMatchObject({
        refusal: 'token_signature_invalid',
        detail: expect.stringContaining('high-s') as string,
      });
      expect(await verify(low)).toMatchObject({ subject: 'alice' });
    }
  });

  test('have no further spellings: what is not canonical is refused also when the token is known', async () => {
    const { idp, verify } = await setUp(algorithm);
    const token = await idp.sign();
    expect(isRefusal(await verify(token))).toBe(false);
    for (const one of [token, twinOf(token, algorithm)]) {
      for (const other of [`${one}=`, `${one}==`, `${one}\n`, `${one} `, one.replace(/.$/, ' $&')])
        expect(await verify(other)).toMatchObject({ refusal: 'token_malformed' });
    }
  });
});

describe('lowering', () => {
  const lower = createLowS();

  test('leaves everything that is no ECDSA token as it is, and never throws', () => {
    const part = fc.oneof(fc.string({ unit: 'binary' }), fc.base64String());
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          fc.tuple(part, part, part).map((parts) => parts.join('.')),
        ),
        (text) => {
          expect(lower(text)).toEqual({ token: text, wasHigh: false });
        },
      ),
    );
  });

  test('leaves an Ed25519 token as it is, whose signature is as long as that of ES256', async () => {
    const idp = await createTestIssuer({ issuer: 'i', audience: 'a', alg: 'Ed25519' });
    for (let count = 0; count < 8; count++) {
      const token = await idp.sign({ count });
      expect(lower(token)).toEqual({ token, wasHigh: false });
    }
  });

  test.each(ALGORITHMS)('leaves an s that is not below the order of %s, which no signer makes', (alg) => {
    const half = { ES256: 32, ES384: 48, ES512: 66 }[alg];
    const header = Buffer.from(JSON.stringify({ alg })).toString('base64url');
    for (const s of [0n, ORDERS[alg], ORDERS[alg] + 1n]) {
      const signature = Buffer.from(`${'01'.repeat(half)}${s.toString(16).padStart(2 * half, '0')}`, 'hex');
      const token = `${header}.e30.${signature.toString('base64url')}`;
      expect(lower(token)).toEqual({ token, wasHigh: false });
    }
  });

  test('is done once: what it gives is what it leaves', async () => {
    const idp = await createTestIssuer({ issuer: 'i', audience: 'a' });
    for (let count = 0; count < 8; count++) {
      const { token } = lower(await idp.sign({ count }));
      expect(lower(token)).toEqual({ token, wasHigh: false });
    }
  });

  test('remembers a bounded number of headers, and is right beyond it', () => {
    for (let count = 0; count < 600; count++) {
      const header = Buffer.from(JSON.stringify({ alg: 'none', count })).toString('base64url');
      expect(lower(`${header}.e30.AAAA`).wasHigh).toBe(false);
    }
  });
});

describe('the signatures of other algorithms', () => {
  async function verifierOf(alg: string) {
    const idp = await createTestIssuer({
      issuer: 'https://id.example.com',
      audience: 'pdp',
      now: () => START,
      alg,
    });
    const issuer = createIssuer({
      name: 'idp',
      issuer: idp.issuer,
      use: 'user',
      audiences: ['pdp'],
      algorithms: [alg],
      types: ['at+jwt'],
    });
    const verifier = createTokenVerifier([issuer], new Map([['idp', keySetOf('idp', idp)]]), manualClock());
    const respell = (token: string, change: (signature: Buffer) => Buffer): string => {
      const end = token.lastIndexOf('.') + 1;
      return token.slice(0, end) + change(Buffer.from(token.slice(end), 'base64url')).toString('base64url');
    };
    return { idp, respell, verify: (token: string) => verifier.verify(token, 'user', START) };
  }

  test('of Ed25519 have no twin: S + L is no signature', async () => {
    const { idp, respell, verify } = await verifierOf('Ed25519');
    const order = 2n ** 252n + 27742317777372353535851937790883648493n;
    const token = await idp.sign();
    expect(await verify(token)).toMatchObject({ subject: 'alice' });
    const twin = respell(token, (bytes) => {
      const s = BigInt(`0x${Buffer.from(bytes.subarray(32)).reverse().toString('hex')}`) + order;
      const high = Buffer.from(s.toString(16).padStart(64, '0'), 'hex').reverse();
      return Buffer.concat([bytes.subarray(0, 32), high]);
    });
    expect(await verify(twin)).toMatchObject({ refusal: 'token_signature_invalid' });
  });

  test.each(['RS256', 'PS256'])('of %s have no second length', async (alg) => {
    const { idp, respell, verify } = await verifierOf(alg);
    const token = await idp.sign();
    expect(await verify(token)).toMatchObject({ subject: 'alice' });
    for (const change of [
      (bytes: Buffer) => Buffer.concat([Buffer.alloc(1), bytes]),
      (bytes: Buffer) => Buffer.concat([bytes, Buffer.alloc(1)]),
      (bytes: Buffer) => bytes.subarray(1),
    ])
      expect(await verify(respell(token, change))).toMatchObject({ refusal: 'token_signature_invalid' });
  });

  test.each(ALGORITHMS)('of %s have no second length', async (alg) => {
    const { idp, respell, verify } = await verifierOf(alg);
    const token = await idp.sign();
    for (const change of [
      (bytes: Buffer) => Buffer.concat([Buffer.alloc(1), bytes]),
      (bytes: Buffer) => Buffer.concat([Buffer.alloc(1), bytes, Buffer.alloc(1)]),
      (bytes: Buffer) => bytes.subarray(0, -2),
    ])
      expect(await verify(respell(token, change))).toMatchObject({ refusal: 'token_signature_invalid' });
  });
});
