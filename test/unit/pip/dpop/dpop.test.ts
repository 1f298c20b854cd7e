import { createHash } from 'node:crypto';
import { calculateThumbprint, generateKeyPair, generateProof } from 'dpop';
import fc from 'fast-check';
import {
  type CryptoKey,
  type JWK,
  SignJWT,
  calculateJwkThumbprint,
  exportJWK,
  generateKeyPair as generateAny,
} from 'jose';
import { beforeAll, describe, expect, test } from 'vitest';
import type { Refusal } from '../../../../src/pdp/decision.ts';
import { type DpopCheck, createDpopCheck, replayWindowMs } from '../../../../src/pip/dpop/dpop.ts';
import {
  type MemoryReplayStoreOptions,
  createMemoryReplayStore,
} from '../../../../src/pip/dpop/replay-store.ts';
import {
  type ManualClock,
  START,
  manualClock,
  memoryLog,
  receivedOf,
  requestWith,
  fingerprintOf,
} from '../fixture.ts';

const TOKEN = 'header.payload.signature';
const ATH = createHash('sha256').update(TOKEN).digest('base64url');
const HTU = 'https://api.example.com/accounts/1';
const NOW_S = START / 1000;

interface Key {
  readonly privateKey: CryptoKey;
  readonly jwk: JWK;
  readonly thumbprint: string;
}

let key: Key;
let other: Key;

async function newKey(alg = 'ES256'): Promise<Key> {
  const { publicKey, privateKey } = await generateAny(alg, { extractable: true });
  const jwk = await exportJWK(publicKey);
  return { privateKey, jwk, thumbprint: await calculateJwkThumbprint(jwk) };
}

beforeAll(async () => {
  key = await newKey();
  other = await newKey();
});

interface ProofParts {
  readonly claims?: Readonly<Record<string, unknown>>;
  readonly header?: Readonly<Record<string, unknown>>;
  readonly signer?: Key;
}

/** A proof that is right but for what the parts say; a claim or header that is `undefined` is left out. */
function proofOf({ claims = {}, header = {}, signer = key }: ProofParts = {}): Promise<string> {
  const payload = { jti: 'proof-1', htm: 'GET', htu: HTU, iat: NOW_S, ath: ATH, ...claims };
  const full = { typ: 'dpop+jwt', alg: 'ES256', jwk: signer.jwk, ...header };
  const present = (value: object) => JSON.parse(JSON.stringify(value)) as Record<string, unknown>;
  return new SignJWT(present(payload))
    .setProtectedHeader(present(full) as { alg: string })
    .sign(signer.privateKey);
}

function checkOf(
  clock: ManualClock = manualClock(),
  limits: Partial<MemoryReplayStoreOptions> = {},
): DpopCheck {
  const windowMs = replayWindowMs(60, 5);
  const store = { clock, log: memoryLog(), windowMs, maxEntries: 100, maxPerOwner: 100, ...limits };
  return createDpopCheck({
    origins: new Map([['api.example.com', ['https://api.example.com', 'https://www.example.com:8443']]]),
    algorithms: ['ES256', 'Ed25519', 'PS256', 'RS256'],
    maxAgeSeconds: 60,
    skewSeconds: 5,
    replays: createMemoryReplayStore(store),
  });
}

interface Sent {
  readonly dpop?: readonly string[];
  readonly joined?: boolean;
  readonly method?: string;
  readonly path?: string;
  readonly host?: string;
  readonly now?: number;
  readonly headers?: readonly (readonly [string, string])[];
}

function received(sent: Sent) {
  const { dpop = [], joined = false, method = 'GET', path = '/accounts/1', now = START } = sent;
  const headers = [...dpop.map((value): [string, string] => ['dpop', value]), ...(sent.headers ?? [])];
  const request = requestWith({ headers, joined });
  const question = receivedOf(request, now);
  return { ...question, canonical: { method, path, host: sent.host ?? 'api.example.com' } };
}

async function check(parts: ProofParts, sent: Sent = {}): Promise<Refusal | undefined> {
  return await checkOf()(received({ dpop: [await proofOf(parts)], ...sent }), TOKEN, key.thumbprint);
}

const invalid = (detail: string | RegExp) => ({
  refusal: 'dpop_proof_invalid',
  detail: expect.stringMatching(detail) as string,
  evidence: expect.stringMatching(/^sha256:[\w-]{43}$/) as string,
});

describe('a DPoP proof', () => {
  test('that is right in everything is taken', async () => {
    expect(await check({})).toBeUndefined();
  });

  test.each(['ES256', 'Ed25519', 'RS256', 'PS256'] as const)(
    'of the independent client, with %s, is taken once',
    async (alg) => {
      const pair = await generateKeyPair(alg);
      const clock = { ...manualClock(), now: () => Date.now() };
      const dpop = checkOf(clock);
      const question = received({
        dpop: [await generateProof(pair, HTU, 'GET', undefined, TOKEN)],
        now: Date.now(),
      });
      const thumbprint = await calculateThumbprint(pair.publicKey);
      expect(await dpop(question, TOKEN, thumbprint)).toBeUndefined();
      expect(await dpop(question, TOKEN, thumbprint)).toEqual(invalid('used before'));
    },
  );

  test.each<[string, Sent, RegExp]>([
    ['there are two', { dpop: ['a.b.c', 'a.b.c'] }, /more than one/],
    ['two are joined', { dpop: ['a.b.c,a.b.c'], joined: true }, /more than one/],
    ['it is empty', { dpop: [''] }, /malformed/],
    ['it is no JWT', { dpop: ['a.b'] }, /malformed/],
    ['it is no JWT in three parts', { dpop: ['a.b.c'] }, /malformed/],
  ])('is refused where %s', async (_, sent, detail) => {
    expect(await check({}, sent)).toEqual(invalid(detail));
  });

  test('is refused where there is none, and nothing is named', async () => {
    expect(await check({}, { dpop: [] })).toEqual({
      refusal: 'dpop_proof_invalid',
      detail: expect.stringContaining('there is none') as string,
    });
  });

  test.each<[string, readonly string[], string]>([
    ['malformed', ['a.b.c'], 'a.b.c'],
    ['sent twice', ['a.b.c', 'd.e.f'], 'a.b.c, d.e.f'],
  ])('that is %s is named by its own fingerprint, not that of the token', async (_what, dpop, sent) => {
    expect(await check({}, { dpop })).toMatchObject({ evidence: fingerprintOf(sent) });
  });

  test.each<[string, ProofParts, RegExp]>([
    ['another type', { header: { typ: 'JWT' } }, /type/],
    ['no type', { header: { typ: undefined } }, /type/],
    ['a null key', { header: { jwk: null } }, /no 'jwk'/],
    ['no key', { header: { jwk: undefined } }, /no 'jwk'/],
    ['a key that is no object', { header: { jwk: 'key' } }, /no 'jwk'/],
    ['a symmetric key', { header: { jwk: { kty: 'oct', k: 'AAAA' } } }, /private or symmetric/],
    ['an unknown kind of key', { header: { jwk: { kty: 'XX' } } }, /not an asymmetric key/],
    ['a short RSA key', { header: { jwk: { kty: 'RSA', n: 'AQAB', e: 'AQAB' } } }, /RSA key/],
    ['a huge RSA key', { header: { jwk: { kty: 'RSA', n: 'A'.repeat(1400), e: 'AQAB' } } }, /RSA key/],
    [
      'a huge RSA exponent',
      { header: { jwk: { kty: 'RSA', n: 'A'.repeat(400), e: 'A'.repeat(400) } } },
      /RSA key/,
    ],
    ['an extension', { header: { b64: true, crit: ['b64'] } }, /malformed/],
    ['no jti', { claims: { jti: undefined } }, /'jti'/],
    ['an empty jti', { claims: { jti: '' } }, /'jti'/],
    ['a jti that is no string', { claims: { jti: 1 } }, /'jti'/],
    ['a long jti', { claims: { jti: 'x'.repeat(256) } }, /'jti'/],
    ['another method', { claims: { htm: 'POST' } }, /'htm'/],
    ['a method in lower case', { claims: { htm: 'get' } }, /'htm'/],
    ['no method', { claims: { htm: undefined } }, /'htm'/],
    ['no target', { claims: { htu: undefined } }, /'htu' is missing/],
    ['another path', { claims: { htu: 'https://api.example.com/accounts/2' } }, /not the path/],
    ['another origin', { claims: { htu: 'https://evil.example.com/accounts/1' } }, /external origin/],
    ['another scheme', { claims: { htu: 'http://api.example.com/accounts/1' } }, /external origin/],
    ['another port', { claims: { htu: 'https://api.example.com:8443/accounts/1' } }, /external origin/],
    ['a target that is no URL', { claims: { htu: '/accounts/1' } }, /not an http/],
    ['a target with credentials', { claims: { htu: 'https://a@api.example.com/accounts/1' } }, /not an http/],
    [
      'a target with dot segments',
      { claims: { htu: 'https://api.example.com/x/../accounts/1' } },
      /not the path/,
    ],
    ['no time', { claims: { iat: undefined } }, /'iat'/],
    ['a time that is no number', { claims: { iat: String(NOW_S) } }, /'iat'/],
    ['an old time', { claims: { iat: NOW_S - 66 } }, /66 s old/],
    ['a time to come', { claims: { iat: NOW_S + 6 } }, /clocks differ/],
    ['no hash of the token', { claims: { ath: undefined } }, /'ath'/],
    ['the hash of another token', { claims: { ath: 'x' } }, /'ath'/],
  ])('is refused for %s', async (_, parts, detail) => {
    expect(await check(parts)).toEqual(invalid(detail));
  });

  test('is refused for an algorithm that is not accepted', async () => {
    const slow = await newKey('ES512');
    expect(await check({ signer: slow, header: { alg: 'ES512' } })).toEqual(invalid(/algorithm/));
  });

  test('is refused for a private key, which its owner has given away', async () => {
    const { privateKey } = await generateAny('ES256', { extractable: true });
    const jwk = await exportJWK(privateKey);
    expect(await check({ header: { jwk } })).toEqual(invalid(/private/));
  });

  test('is refused for a key that is none, though the token is bound to it', async () => {
    for (const jwk of [
      { kty: 'EC', crv: 'P-256', x: 'AA', y: 'AA' },
      { kty: 'EC', crv: 'P-256' },
      { kty: 'OKP', crv: 'X25519', x: 'A'.repeat(43) },
      other.jwk.kty === 'EC' ? { ...other.jwk, crv: 'P-384' } : {},
    ]) {
      const thumbprint = await calculateJwkThumbprint(jwk as JWK).catch(() => key.thumbprint);
      const question = received({ dpop: [await proofOf({ header: { jwk } })] });
      expect(await checkOf()(question, TOKEN, thumbprint)).toEqual(invalid(/not a/));
    }
  });

  test("is refused for a key that is not the token's", async () => {
    expect(await check({ signer: other })).toEqual(invalid(/not the one the token is bound to/));
  });

  test('is refused where another key has signed', async () => {
    expect(await check({ signer: other, header: { jwk: key.jwk } })).toEqual(invalid(/signature/));
  });

  test('is taken for the times, targets and types that differ in nothing that matters', async () => {
    const good: ProofParts[] = [
      { claims: { iat: NOW_S - 65 } },
      { claims: { iat: NOW_S + 5 } },
      { claims: { iat: NOW_S - 0.5 } },
      { claims: { htu: `${HTU}?query=1#fragment` } },
      { claims: { htu: 'https://API.example.com:443/accounts/%31' } },
      { claims: { htu: 'https://www.example.com:8443/accounts/1' } },
      { header: { typ: 'application/dpop+jwt' } },
      { claims: { nonce: 'nobody-asked' } },
    ];
    for (const parts of good) expect(await check(parts)).toBeUndefined();
  });

  test('never asks the request where it came from', async () => {
    const headers: [string, string][] = [
      ['x-forwarded-host', 'evil.example.com'],
      ['x-forwarded-proto', 'http'],
      ['forwarded', 'host=evil.example.com;proto=http'],
    ];
    expect(await check({}, { headers, dpop: [await proofOf()] })).toBeUndefined();
    const claims = { htu: 'http://evil.example.com/accounts/1' };
    expect(await check({}, { headers, dpop: [await proofOf({ claims })] })).toEqual(
      invalid('external origin'),
    );
  });

  test('is refused for a host without a configured origin, in words for the operator', async () => {
    expect(await check({}, { host: 'other.example.com' })).toEqual(invalid('tokens.dpop.origins'));
  });

  test('never has its text repeated', async () => {
    const claims = { jti: 'hush-hush-1', htu: 'https://hush-hush.example.com/hush', ath: 'hush-hush' };
    expect(JSON.stringify(await check({ claims }))).not.toContain('hush');
  });

  test('that is any text at all is refused and nothing is thrown', async () => {
    const dpop = checkOf();
    await fc.assert(
      fc.asyncProperty(fc.oneof(fc.string(), fc.string({ unit: 'binary' })), async (text) => {
        expect(await dpop(received({ dpop: [text] }), TOKEN, key.thumbprint)).toMatchObject({
          refusal: 'dpop_proof_invalid',
        });
      }),
    );
  });

  test('whose header or payload is any JSON at all is refused and nothing is thrown', async () => {
    const dpop = checkOf();
    const part = (value: unknown) => Buffer.from(JSON.stringify(value) ?? '').toString('base64url');
    await fc.assert(
      fc.asyncProperty(fc.jsonValue(), fc.jsonValue(), async (extra, payload) => {
        const header = { typ: 'dpop+jwt', alg: 'ES256', jwk: extra };
        const text = `${part(header)}.${part(payload)}.AAAA`;
        expect(await dpop(received({ dpop: [text] }), TOKEN, key.thumbprint)).toMatchObject({
          refusal: 'dpop_proof_invalid',
        });
      }),
    );
  });
});

describe('a proof that comes again', () => {
  test('is refused while it could still be taken, and is too old from then on', async () => {
    const clock = manualClock();
    const dpop = checkOf(clock);
    const sent = { dpop: [await proofOf({ claims: { iat: NOW_S + 5 } })] };
    expect(await dpop(received(sent), TOKEN, key.thumbprint)).toBeUndefined();
    for (let second = 0; second < 70; second += 5) {
      clock.advance(5_000);
      const again = await dpop(received({ ...sent, now: clock.now() }), TOKEN, key.thumbprint);
      expect(again).toEqual(invalid('used before'));
    }
    clock.advance(10_000);
    expect(await dpop(received({ ...sent, now: clock.now() }), TOKEN, key.thumbprint)).toEqual(
      invalid('s old'),
    );
  });

  test('is refused in another spelling of its signature and of its target', async () => {
    const dpop = checkOf();
    expect(await dpop(received({ dpop: [await proofOf()] }), TOKEN, key.thumbprint)).toBeUndefined();
    const again = await proofOf({ claims: { htu: `${HTU}?other` } });
    expect(await dpop(received({ dpop: [again] }), TOKEN, key.thumbprint)).toEqual(invalid('used before'));
  });

  test('does not use up the id for another key or another target', async () => {
    const dpop = checkOf();
    expect(await dpop(received({ dpop: [await proofOf()] }), TOKEN, key.thumbprint)).toBeUndefined();
    const theirs = await proofOf({ signer: other });
    expect(await dpop(received({ dpop: [theirs] }), TOKEN, other.thumbprint)).toBeUndefined();
    const elsewhere = await proofOf({ claims: { htu: 'https://api.example.com/accounts/2' } });
    const question = received({ dpop: [elsewhere], path: '/accounts/2' });
    expect(await dpop(question, TOKEN, key.thumbprint)).toBeUndefined();
  });

  test('is let through once where it comes many times at once', async () => {
    const dpop = checkOf();
    const question = received({ dpop: [await proofOf()] });
    const answers = await Promise.all(
      Array.from({ length: 50 }, () => dpop(question, TOKEN, key.thumbprint)),
    );
    expect(answers.filter((answer) => answer === undefined)).toHaveLength(1);
  });

  test('cannot be told once the store is full: nothing is forgotten early', async () => {
    const clock = manualClock();
    const log = memoryLog();
    const dpop = checkOf(clock, { maxEntries: 2, log });
    const send = async (jti: string, now = START) =>
      await dpop(
        received({ dpop: [await proofOf({ claims: { jti, iat: now / 1000 } })], now }),
        TOKEN,
        key.thumbprint,
      );
    expect([await send('1'), await send('2')]).toEqual([undefined, undefined]);
    expect(await send('3')).toEqual({
      refusal: 'token_unverifiable',
      detail: expect.stringContaining('full') as string,
      evidence: expect.stringMatching(/^sha256:/) as string,
    });
    await send('4');
    expect(log.entries.map(({ message }) => message)).toEqual(['DPoP proofs of everybody are refused']);
    expect(await send('1')).toEqual(invalid('used before'));
    clock.advance(replayWindowMs(60, 5));
    expect(await send('3', clock.now())).toBeUndefined();
  });

  test('is told from one too many of a key, which is refused to that key only until its share is free again', async () => {
    const clock = manualClock();
    const dpop = checkOf(clock, { maxPerOwner: 2 });
    const send = async (jti: string, signer = key) =>
      await dpop(
        received({
          dpop: [await proofOf({ signer, claims: { jti, iat: clock.now() / 1000 } })],
          now: clock.now(),
        }),
        TOKEN,
        signer.thumbprint,
      );
    expect([await send('1'), await send('2')]).toEqual([undefined, undefined]);
    expect(await send('3')).toMatchObject({ refusal: 'overloaded' });
    expect(await send('1')).toEqual(invalid('used before'));
    expect(await send('3', other)).toBeUndefined();
    clock.advance(replayWindowMs(60, 5));
    expect(await send('3')).toBeUndefined();
  });

  test('takes no room in the store where something else is wrong with it', async () => {
    const dpop = checkOf(manualClock(), { maxEntries: 1 });
    const wrong = await proofOf({ claims: { jti: 'x', htm: 'PUT' } });
    const forged = await proofOf({ signer: other, header: { jwk: key.jwk } });
    for (const proof of [wrong, forged]) await dpop(received({ dpop: [proof] }), TOKEN, key.thumbprint);
    expect(await dpop(received({ dpop: [await proofOf()] }), TOKEN, key.thumbprint)).toBeUndefined();
  });
});
