import { SignJWT, exportSPKI } from 'jose';
import fc from 'fast-check';
import { beforeAll, describe, expect, test } from 'vitest';
import { type DenyReason, type Refusal, isRefusal } from '../../../../src/pdp/decision.ts';
import { InputError } from '../../../../src/pdp/errors.ts';
import type { VerifiedToken } from '../../../../src/pdp/identity.ts';
import { type Issuer, type IssuerOptions, createIssuer } from '../../../../src/pip/token/issuer.ts';
import { type KeySet, createKeySet } from '../../../../src/pip/jwks/jwks.ts';
import { createTokenVerifier } from '../../../../src/pip/token/token-verifier.ts';
import { eventually } from '../../../support/eventually.ts';
import { type TestIssuer, createTestIssuer } from '../../../support/tokens.ts';
import { START, keySetOf, manualClock, memoryLog } from '../fixture.ts';

const ISS = 'https://id.example.com/realms/staff';
const AUD = 'https://api.example.com';
const NOW_S = START / 1000;
const SECRET_CLAIM = 'hush-hush';

let es256: TestIssuer;
let rs256: TestIssuer;
let keySet: KeySet & { refreshes: number };

beforeAll(async () => {
  es256 = await createTestIssuer({ issuer: ISS, audience: AUD, now: () => START });
  rs256 = await createTestIssuer({
    issuer: ISS,
    audience: AUD,
    now: () => START,
    alg: 'RS256',
    kid: 'key-2',
  });
});

function staff(options: Partial<IssuerOptions> = {}): Issuer {
  return createIssuer({
    name: 'staff',
    issuer: ISS,
    use: 'user',
    audiences: [AUD],
    algorithms: ['ES256', 'RS256'],
    types: ['at+jwt'],
    ...options,
  });
}

async function verify(
  token: string,
  options: Partial<IssuerOptions> = {},
  now = START,
): Promise<VerifiedToken | Refusal> {
  keySet = keySetOf('staff', { jwks: { keys: [...es256.jwks.keys, ...rs256.jwks.keys] } });
  const issuer = staff(options);
  return await createTokenVerifier([issuer], new Map([['staff', keySet]]), manualClock()).verify(
    token,
    issuer.use,
    now,
  );
}

async function expectRefusal(
  token: string,
  reason: DenyReason,
  detail: string | RegExp,
  now = START,
): Promise<void> {
  const answer = await verify(token, {}, now);
  expect(answer).toEqual({ refusal: reason, detail: expect.stringMatching(detail) as string });
  // What an operator reads never holds the token or its other claims.
  expect(JSON.stringify(answer)).not.toContain(SECRET_CLAIM);
  for (const part of token.split('.'))
    if (part.length > 12) expect(JSON.stringify(answer)).not.toContain(part);
}

function parts(token: string): [string, string, string] {
  return token.split('.') as [string, string, string];
}

function encode(value: unknown): string {
  return Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url');
}

describe('a good token', () => {
  test('is verified and reduced to what is mapped', async () => {
    const token = await es256.sign({ jti: 'token-1', sid: 'session-1', nbf: NOW_S, nickname: SECRET_CLAIM });
    expect(await verify(token)).toEqual({
      issuer: 'staff',
      subject: 'alice',
      algorithm: 'ES256',
      keyId: 'key-1',
      tokenId: 'token-1',
      sessionId: 'session-1',
      audiences: [AUD],
      issuedAt: NOW_S,
      expiresAt: NOW_S + 300,
      claims: {},
      groups: [],
    });
  });

  test('may be signed by any of the configured algorithms', async () => {
    expect(await verify(await rs256.sign())).toMatchObject({ algorithm: 'RS256', keyId: 'key-2' });
  });

  test('may name us among other audiences', async () => {
    expect(await verify(await es256.sign({ aud: ['x', AUD] }))).toMatchObject({ audiences: ['x', AUD] });
  });

  test.each(['AT+JWT', 'application/at+jwt', 'Application/AT+JWT'])(
    'may write its type as %s',
    async (typ) => {
      expect(await verify(await es256.sign({}, { typ }))).toMatchObject({ subject: 'alice' });
    },
  );

  test('may leave its type out only where that is configured', async () => {
    const token = await es256.sign({}, { typ: undefined });
    expect(await verify(token, { types: ['at+jwt', ''] })).toMatchObject({ subject: 'alice' });
    await expectRefusal(token, 'token_type_refused', /^type is missing, expected 'at\+jwt'$/);
  });

  test('may leave its key id out where one key fits', async () => {
    const answer = await verify(await es256.sign({}, { kid: undefined }));
    expect(answer).toMatchObject({ subject: 'alice' });
    expect(answer).not.toHaveProperty('keyId');
  });

  test('may carry times with fractions', async () => {
    const answer = await verify(await es256.sign({ exp: NOW_S + 10.7, iat: NOW_S - 0.5 }));
    expect(answer).toMatchObject({ expiresAt: NOW_S + 10, issuedAt: NOW_S - 1 });
  });
});

describe('a token that is not in its one spelling', () => {
  test.each([
    ['padding', (token: string) => `${token}=`],
    ['two padding characters', (token: string) => `${token}==`],
    ['a trailing line break', (token: string) => `${token}\n`],
    ['a leading space', (token: string) => ` ${token}`],
    ['a space in the signature', (token: string) => `${token.slice(0, -4)} ${token.slice(-4)}`],
    ['a fourth part', (token: string) => `${token}.`],
    ['five parts, as JWE has', (token: string) => `${token}.a.b`],
    ['no signature', (token: string) => token.replace(/[^.]*$/, '')],
    ['a missing part', (token: string) => token.replace(/\.[^.]*$/, '')],
    ['the base64 alphabet', (token: string) => token.replace(/.$/, '+')],
  ])('is refused for %s', async (_what, alter) => {
    await expectRefusal(alter(await es256.sign()), 'token_malformed', /not three parts|canonical/);
  });

  test('is refused for unused trailing bits that are set', async () => {
    // 64 bytes of signature leave four unused bits in its last character.
    const token = await es256.sign();
    const last = token.at(-1) ?? '';
    const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
    const twin = `${token.slice(0, -1)}${alphabet[alphabet.indexOf(last) + 1] ?? ''}`;
    expect(Buffer.from(twin.split('.')[2] ?? '', 'base64url')).toEqual(
      Buffer.from(token.split('.')[2] ?? '', 'base64url'),
    );
    await expectRefusal(twin, 'token_malformed', 'canonical base64url');
  });

  test('is refused over 16 KiB', async () => {
    await expectRefusal(
      await es256.sign({ note: 'x'.repeat(13_000) }),
      'token_malformed',
      'longer than 16384',
    );
  });

  test.each(['', '.', '..', 'a.b.c', 'Bearer', '\0', '{}.{}.{}'])('is refused as %j', async (token) => {
    await expectRefusal(token, 'token_malformed', /./);
  });

  test.each([
    ['not JSON', 'nonsense'],
    ['an array', '[]'],
    ['null', 'null'],
    ['a string', '"header"'],
    ['invalid UTF-8', Buffer.from('{"alg":"ES256","x":"\xff"}', 'latin1')],
    ['a byte order mark', '\uFEFF{"alg":"ES256"}'],
  ])('is refused where header or payload is %s', async (_what, content) => {
    const [header, payload, signature] = parts(await es256.sign());
    const bad = Buffer.from(content).toString('base64url');
    await expectRefusal(
      `${bad}.${payload}.${signature}`,
      'token_malformed',
      'the header is not a JSON object',
    );
    await expectRefusal(
      `${header}.${bad}.${signature}`,
      'token_malformed',
      'the payload is not a JSON object',
    );
  });

  test.each([{ crit: ['exp'] }, { b64: true }, { b64: false, crit: ['b64'] }])(
    'is refused for the extension %j',
    async (extension) => {
      const [, payload, signature] = parts(await es256.sign());
      const header = encode({ alg: 'ES256', kid: 'key-1', typ: 'at+jwt', ...extension });
      await expectRefusal(`${header}.${payload}.${signature}`, 'token_malformed', 'extension');
    },
  );

  test.each(['{"kid":7}', '{"kid":null}', '{"typ":7}', '{"__proto__":1}'])(
    'is refused for the header member in %s',
    async (members) => {
      const [, payload, signature] = parts(await es256.sign());
      const header = encode(members.replace('{', '{"alg":"ES256","typ":"at+jwt",'));
      await expectRefusal(`${header}.${payload}.${signature}`, 'token_malformed', /kid|typ|__proto__/);
    },
  );
});

describe('a token of somebody else', () => {
  test.each([
    ['https://evil.example.com'],
    [`${ISS}/`],
    [ISS.toUpperCase()],
    [''],
    ['https://id.example.com'],
  ])('is refused for the issuer %j', async (iss) => {
    await expectRefusal(await es256.sign({ iss }), 'token_issuer_unknown', 'is not configured');
  });

  test('is refused for a missing issuer or one that is not text', async () => {
    await expectRefusal(await es256.sign({ iss: undefined }), 'token_issuer_unknown', 'names no issuer');
    await expectRefusal(await es256.signRaw('{"iss":["x"]}'), 'token_issuer_unknown', 'names no issuer');
  });

  test('has its issuer printed harmlessly', async () => {
    const iss = `\u001b[31m\n${'x'.repeat(500)}`;
    const answer = await verify(await es256.sign({ iss }));
    expect(answer).toMatchObject({
      detail: expect.stringMatching(/^issuer '\?\[31m\?x+\.\.\.' is not configured$/) as string,
    });
    expect((answer as Refusal).detail?.length).toBeLessThan(200);
  });

  test('is refused for another key under the same key id, and newer keys are asked for', async () => {
    const impostor = await createTestIssuer({ issuer: ISS, audience: AUD, now: () => START });
    await expectRefusal(await impostor.sign(), 'token_signature_invalid', 'signature');
    expect(keySet.refreshes).toBe(1);
  });

  test('asks for no newer keys where it is refused before or after its signature is looked at', async () => {
    await verify(await es256.sign({}, { typ: 'JWT' }));
    expect(keySet.refreshes).toBe(0);
    await verify(await es256.sign({ exp: NOW_S - 60 }));
    expect(keySet.refreshes).toBe(0);
  });

  test('is refused by an issuer whose keys have no ids until its newer key is here', async () => {
    const newer = await createTestIssuer({ issuer: ISS, audience: AUD, now: () => START });
    const jwksOf = ({ jwks }: TestIssuer) =>
      JSON.stringify({ keys: jwks.keys.map(({ kid: _kid, ...key }) => key) });
    let published = jwksOf(es256);
    const fetch = async () => new Response(published);
    const source = { url: 'https://id.example.com/jwks' };
    using keys = createKeySet({ name: 'staff', source, fetch, clock: manualClock(), log: memoryLog() });
    await keys.start();
    const verifier = createTokenVerifier([staff()], new Map([['staff', keys]]), manualClock());
    const ask = async (signer: TestIssuer) =>
      verifier.verify(await signer.sign({}, { kid: undefined }), 'user', START);
    expect(await ask(es256)).toMatchObject({ issuer: 'staff', subject: 'alice' });
    published = jwksOf(newer);
    expect(await ask(newer)).toMatchObject({ refusal: 'token_signature_invalid' });
    await eventually('the newer key verifies', async () => (isRefusal(await ask(newer)) ? undefined : true));
    expect(await ask(es256)).toMatchObject({ refusal: 'token_signature_invalid' });
  });

  test('is refused for an unknown key id, and newer keys are asked for', async () => {
    await expectRefusal(await es256.sign({}, { kid: 'key-9' }), 'token_key_unknown', 'no such key');
    expect(keySet.refreshes).toBe(1);
  });

  test('is refused where several keys fit and it names none', async () => {
    const other = await createTestIssuer({ issuer: ISS, audience: AUD, now: () => START, kid: 'key-3' });
    keySet = keySetOf('staff', { jwks: { keys: [...es256.jwks.keys, ...other.jwks.keys] } });
    const verifier = createTokenVerifier([staff()], new Map([['staff', keySet]]), manualClock());
    expect(await verifier.verify(await es256.sign({}, { kid: undefined }), 'user', START)).toMatchObject({
      refusal: 'token_key_unknown',
    });
  });

  test('is never verified by a key of another issuer', async () => {
    const other = await createTestIssuer({
      issuer: 'https://other.example.com',
      audience: AUD,
      now: () => START,
    });
    const verifier = createTokenVerifier(
      [staff(), staff({ name: 'other', issuer: other.issuer })],
      new Map([
        ['staff', keySetOf('staff', es256)],
        ['other', keySetOf('other', other)],
      ]),
      manualClock(),
    );
    expect(await verifier.verify(await other.sign(), 'user', START)).toMatchObject({ issuer: 'other' });
    expect(await verifier.verify(await other.sign({ iss: ISS }), 'user', START)).toMatchObject({
      refusal: 'token_signature_invalid',
    });
  });

  test('is not trusted with its own key', async () => {
    const impostor = await createTestIssuer({ issuer: ISS, audience: AUD, now: () => START, kid: 'mine' });
    const header = {
      jwk: impostor.jwks.keys[0],
      jku: 'https://evil.example.com/jwks',
      x5u: 'https://evil.example.com',
    };
    await expectRefusal(await impostor.sign({}, header), 'token_key_unknown', /./);
  });
});

describe('a token of the wrong kind', () => {
  test.each(['JWT', 'id+jwt', 'dpop+jwt', 'secevent+jwt', 'at+jwt ', ''])(
    'is refused for the type %j',
    async (typ) => {
      await expectRefusal(await es256.sign({}, { typ }), 'token_type_refused', /^type is/);
    },
  );

  test.each(['none', 'None', 'NONE', '', 'HS256', 'ES384', 'es256', 7, null, undefined])(
    'is refused for the algorithm %j',
    async (alg) => {
      const [, payload, signature] = parts(await es256.sign());
      const header = encode({ alg, kid: 'key-1', typ: 'at+jwt' });
      await expectRefusal(
        `${header}.${payload}.${signature}`,
        'token_algorithm_refused',
        /^algorithm is .* expected/,
      );
    },
  );

  test('is refused for HMAC with the public key as secret', async () => {
    const secret = Buffer.from(await exportSPKI(rs256.publicKey));
    const token = await new SignJWT({ iss: ISS, aud: AUD, sub: 'alice', exp: NOW_S + 60 })
      .setProtectedHeader({ alg: 'HS256', kid: 'key-2', typ: 'at+jwt' })
      .sign(secret);
    await expectRefusal(token, 'token_algorithm_refused', 'HS256');
  });

  test('is refused for an algorithm that this issuer may not use, though its key could', async () => {
    expect(await verify(await rs256.sign(), { algorithms: ['ES256'] })).toMatchObject({
      refusal: 'token_algorithm_refused',
    });
  });

  test('is refused for another use than it was issued for', async () => {
    const device = staff({ name: 'mdm', use: 'device', types: ['at+jwt'] });
    const verifier = createTokenVerifier([device], new Map([['mdm', keySetOf('mdm', es256)]]), manualClock());
    expect(await verifier.verify(await es256.sign(), 'device', START)).toMatchObject({ issuer: 'mdm' });
    expect(await verifier.verify(await es256.sign(), 'user', START)).toEqual({
      refusal: 'token_issuer_unknown',
      detail: "issuer 'mdm' is for device tokens, not for user tokens",
    });
  });
});

describe('a token whose signature does not hold', () => {
  test('is refused for any changed claim', async () => {
    const [header, , signature] = parts(await es256.sign());
    const payload = encode({ iss: ISS, aud: AUD, sub: 'root', exp: NOW_S + 60 });
    await expectRefusal(`${header}.${payload}.${signature}`, 'token_signature_invalid', 'signature');
  });

  test.each(['AA', 'A'.repeat(86), 'A'.repeat(4)])('is refused for the signature %s', async (signature) => {
    const [header, payload] = parts(await es256.sign());
    await expectRefusal(`${header}.${payload}.${signature}`, 'token_signature_invalid', 'signature');
  });

  test('is refused before its claims are looked at', async () => {
    const [header, payload, signature] = parts(await es256.sign({ exp: 1, aud: 'x' }));
    const flipped = signature.startsWith('A') ? `B${signature.slice(1)}` : `A${signature.slice(1)}`;
    await expectRefusal(`${header}.${payload}.${flipped}`, 'token_signature_invalid', 'signature');
  });
});

describe('a token for another audience', () => {
  test.each([
    [
      'https://other.example.com',
      /^audience is 'https:\/\/other\.example\.com', expected 'https:\/\/api\.example\.com'$/,
    ],
    [['a', 'b'], /^audience is 'a', 'b', expected/],
    [[], /^audience is empty, expected/],
    [`${AUD}/`, /expected/],
    [undefined, /missing/],
    [[7], /not made of strings/],
    [{ [AUD]: true }, /not made of strings/],
  ])('is refused for %j', async (aud, detail) => {
    await expectRefusal(await es256.sign({ aud }), 'token_audience_wrong', detail);
  });
});

describe('a token out of its time', () => {
  test('is refused once the skew after its expiry is over, not before', async () => {
    const token = await es256.sign({ exp: NOW_S });
    expect(await verify(token, {}, START + 29_999)).toMatchObject({ subject: 'alice' });
    await expectRefusal(token, 'token_expired', /^expired 30 s ago$/, START + 30_000);
    await expectRefusal(token, 'token_expired', /^expired 34 s ago$/, START + 34_000);
  });

  test('is refused until the skew before its beginning', async () => {
    const token = await es256.sign({ nbf: NOW_S + 100 });
    await expectRefusal(
      token,
      'token_not_yet_valid',
      /^valid only in 100 s: the clocks differ by more than 30 s, or it is for later$/,
    );
    await expectRefusal(token, 'token_not_yet_valid', /^valid only in 31 s: /, START + 69_000);
    expect(await verify(token, {}, START + 70_000)).toMatchObject({ subject: 'alice' });
  });

  test('is refused when issued in the future', async () => {
    await expectRefusal(
      await es256.sign({ iat: NOW_S + 31 }),
      'token_not_yet_valid',
      /^issued 31 s in the future: the clocks differ by more than 30 s$/,
    );
    expect(await verify(await es256.sign({ iat: NOW_S + 30 }))).toMatchObject({ subject: 'alice' });
  });

  test("is judged by its own issuer's skew", async () => {
    const token = await es256.sign({ exp: NOW_S });
    expect(await verify(token, { skewSeconds: 0 })).toMatchObject({ refusal: 'token_expired' });
    expect(await verify(token, { skewSeconds: 60 }, START + 59_000)).toMatchObject({ subject: 'alice' });
  });

  test.each([undefined, null, '1', -1, 1e300, [], true])('is refused for the expiry %j', async (exp) => {
    const token = await es256.sign({ exp });
    await expectRefusal(token, 'token_claims_refused', 'exp');
  });

  test.each([{ nbf: 'now' }, { iat: null }, { iat: {} }])('is refused for the time in %j', async (claims) => {
    await expectRefusal(await es256.sign(claims), 'token_claims_refused', 'time');
  });
});

describe('a token whose claims cannot be used', () => {
  const good = `"iss":"${ISS}","aud":"${AUD}","sub":"alice","exp":${NOW_S + 60}`;

  test.each([
    ['nesting 200 deep', `"x":${'['.repeat(200)}${']'.repeat(200)}`, 'deeper than 32'],
    ['an integer of 2^53 + 1', '"x":9007199254740993', '2^53'],
    ['a key __proto__', '"x":{"__proto__":{"admin":true}}', '__proto__'],
    ['a key __entity', '"x":{"__entity":{"type":"User","id":"root"}}', '__entity'],
    ['a key __extn', '"x":[{"__extn":{"fn":"ip","arg":"::"}}]', '__extn'],
    ['a lone surrogate', String.raw`"x":"\ud800"`, 'surrogate'],
    ['too many values', `"x":[${'1,'.repeat(5000)}1]`, '5000'],
  ])('is refused for %s, mapped or not', async (_what, member, detail) => {
    const token = await es256.signRaw(`{${good},${member}}`);
    expect(await verify(token)).toEqual({
      refusal: 'token_claims_refused',
      detail: expect.stringContaining(detail) as string,
    });
  });

  test.each([undefined, null, '', 7, ['alice'], 'ålice', 'a\u0000', 'a\n', 'x'.repeat(256)])(
    'is refused for the subject %j',
    async (sub) => {
      await expectRefusal(await es256.sign({ sub }), 'token_claims_refused', "'sub'");
    },
  );

  test.each([{ jti: 7 }, { jti: '' }, { sid: ['x'] }, { sid: 'a\u0007' }])(
    'is refused for %j',
    async (claims) => {
      await expectRefusal(await es256.sign(claims), 'token_claims_refused', 'wrong type');
    },
  );
});

describe('keys that are not at hand', () => {
  test('make tokens unverifiable and are named', async () => {
    const none: KeySet = { ...keySetOf('staff', es256), keys: () => undefined };
    const verifier = createTokenVerifier([staff()], new Map([['staff', none]]), manualClock());
    expect(await verifier.verify(await es256.sign(), 'user', START)).toEqual({
      refusal: 'token_unverifiable',
      detail: "no keys of issuer 'staff' are at hand",
    });
    expect(verifier.missingKeys()).toEqual(['staff']);
  });

  test('are not named while they are there', () => {
    const keySets = new Map([['staff', keySetOf('staff', es256)]]);
    expect(createTokenVerifier([staff()], keySets, manualClock()).missingKeys()).toEqual([]);
  });

  test('make tokens unverifiable where the key itself is broken', async () => {
    const broken = keySetOf('staff', {
      jwks: { keys: [{ kty: 'EC', crv: 'P-256', x: 'AA', y: 'AA', kid: 'key-1' }] },
    });
    const verifier = createTokenVerifier([staff()], new Map([['staff', broken]]), manualClock());
    expect(await verifier.verify(await es256.sign(), 'user', START)).toMatchObject({
      refusal: 'token_unverifiable',
    });
  });
});

describe('issuers that cannot be told apart', () => {
  test.each([
    ['the same iss and use', staff(), staff({ name: 'again' })],
    ['the same name', staff(), staff({ issuer: 'https://other.example.com' })],
  ])('are refused for %s', (_what, one, other) => {
    const keySets = new Map([one, other].map(({ name }) => [name, keySetOf(name, es256)]));
    expect(() => createTokenVerifier([one, other], keySets, manualClock())).toThrow(InputError);
  });

  test('are refused without a key set', () => {
    expect(() => createTokenVerifier([staff()], new Map(), manualClock())).toThrow(/has no key set/);
  });
});

test('no text makes the verifier throw or accept', async () => {
  const token = await es256.sign();
  const anyText = fc.oneof(
    fc.string(),
    fc.base64String(),
    fc
      .tuple(fc.jsonValue(), fc.jsonValue(), fc.base64String())
      .map(([a, b, c]) => `${encode(a)}.${encode(b)}.${c}`),
    fc
      .tuple(fc.nat(token.length - 1), fc.string({ minLength: 1, maxLength: 1 }))
      .map(([at, character]) => `${token.slice(0, at)}${character}${token.slice(at + 1)}`)
      .filter((altered) => altered !== token),
  );
  await fc.assert(
    fc.asyncProperty(anyText, async (text) => {
      expect(await verify(text)).toHaveProperty('refusal');
    }),
    { numRuns: 300 },
  );
});
