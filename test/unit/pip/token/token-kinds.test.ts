import fc from 'fast-check';
import { beforeAll, describe, expect, test } from 'vitest';
import { createIssuer, type Issuer, type IssuerOptions } from '../../../../src/pip/token/issuer.ts';
import type { KeyResolver, KeySet } from '../../../../src/pip/jwks/jwks.ts';
import { createTokenVerifier } from '../../../../src/pip/token/token-verifier.ts';
import { type TestIssuer, createTestIssuer } from '../../../support/tokens.ts';
import { START, keySetOf, manualClock } from '../fixture.ts';

const ISS = 'https://id.example.com';
const AUD = 'https://api.example.com';
const NOW_S = START / 1000;
let idp: TestIssuer;

beforeAll(async () => {
  idp = await createTestIssuer({ issuer: ISS, audience: AUD, now: () => START });
});

function staff(options: Partial<IssuerOptions> = {}): Issuer {
  return createIssuer({
    name: 'staff',
    issuer: ISS,
    use: 'user',
    audiences: [AUD],
    algorithms: ['ES256'],
    types: ['at+jwt', 'JWT'],
    ...options,
  });
}

async function verify(token: string, options: Partial<IssuerOptions> = {}, now = START, more: Issuer[] = []) {
  const issuers = [staff(options), ...more];
  const keySets = new Map(issuers.map(({ name }) => [name, keySetOf(name, idp)]));
  return await createTokenVerifier(issuers, keySets, manualClock()).verify(token, 'user', now);
}

describe('an access token of RFC 9068', () => {
  const profile = { profile: 'rfc9068' } as const;
  const claims = { client_id: 'app-1', jti: 'id-1' };

  test('is taken with all of its claims, and says which client it was issued to', async () => {
    expect(await verify(await idp.sign(claims), profile)).toMatchObject({
      clientId: 'app-1',
      tokenId: 'id-1',
    });
    const token = await idp.sign(claims, { typ: 'application/at+jwt' });
    expect(await verify(token, profile)).toMatchObject({ clientId: 'app-1' });
  });

  test.each(['client_id', 'jti', 'iat', 'exp', 'sub', 'aud'])('is refused without %s', async (claim) => {
    const answer = await verify(await idp.sign({ ...claims, [claim]: undefined }), profile);
    expect(answer).toMatchObject({
      refusal: claim === 'aud' ? 'token_audience_wrong' : 'token_claims_refused',
    });
  });

  test.each(['client_id', 'jti'])('is refused with a null %s', async (claim) => {
    expect(await verify(await idp.sign({ ...claims, [claim]: null }), profile)).toMatchObject({
      refusal: 'token_claims_refused',
    });
  });

  test.each([undefined, 'JWT', 'id+jwt', ''])('is not what has the type %s', async (typ) => {
    expect(await verify(await idp.sign(claims, { typ }), profile)).toMatchObject({
      refusal: 'token_type_refused',
    });
  });
});

describe('kinds of tokens of one issuer', () => {
  test.each(['nonce', 'at_hash', 'c_hash'])('an ID token, told by %s, is no access token', async (claim) => {
    const token = await idp.sign({ [claim]: 'x' }, { typ: 'JWT' });
    expect(await verify(token)).toMatchObject({
      refusal: 'token_type_refused',
      detail: `claim '${claim}' marks a token of another kind`,
    });
    expect(await verify(token, { forbiddenClaims: [] })).toMatchObject({ subject: 'alice' });
  });

  test('are told apart by a claim that has to have one of some values', async () => {
    const claimValues = { typ: ['Bearer', 'DPoP'] };
    expect(await verify(await idp.sign({ typ: 'Bearer' }), { claimValues })).toMatchObject({
      subject: 'alice',
    });
    for (const typ of ['ID', 'bearer', undefined, null, 1, ['Bearer']])
      expect(await verify(await idp.sign({ typ }), { claimValues })).toMatchObject({
        refusal: 'token_claims_refused',
        detail: "claim 'typ' is not 'Bearer' or 'DPoP'",
      });
  });

  test('are not fooled by what every object has', async () => {
    expect(await verify(await idp.sign(), { requiredClaims: ['toString'] })).toMatchObject({
      refusal: 'token_claims_refused',
    });
    expect(await verify(await idp.sign(), { forbiddenClaims: ['constructor'] })).toMatchObject({
      subject: 'alice',
    });
  });
});

describe('the age of a token', () => {
  const options = { maxAgeSeconds: 60, skewSeconds: 5 };

  test('ends it before its expiry, and says so', async () => {
    const token = await idp.sign({ exp: NOW_S + 3600 });
    expect(await verify(token, options)).toMatchObject({ expiresAt: NOW_S + 60 });
    expect(await verify(token, options, START + 64_999)).toMatchObject({ subject: 'alice' });
    expect(await verify(token, options, START + 65_000)).toEqual({
      refusal: 'token_expired',
      detail: 'issued 65 s ago, and older than 60 s is too old here',
    });
  });

  test('is not known without iat, which refuses', async () => {
    expect(await verify(await idp.sign({ iat: undefined }), options)).toMatchObject({
      refusal: 'token_claims_refused',
    });
  });

  test('also ends what is known from the cache', async () => {
    const issuer = staff(options);
    const caching = { maxBytes: 1_000_000, maxAgeMs: 3_600_000 };
    const keySets = new Map([['staff', keySetOf('staff', idp)]]);
    const verifier = createTokenVerifier([issuer], keySets, manualClock(), caching);
    const token = await idp.sign({ exp: NOW_S + 3600 });
    expect(await verifier.verify(token, 'user', START)).toMatchObject({ subject: 'alice' });
    expect(await verifier.verify(token, 'user', START + 65_000)).toMatchObject({ refusal: 'token_expired' });
  });
});

describe('a chain of actors (RFC 8693)', () => {
  const partner = createIssuer({ ...staff(), name: 'partner', issuer: 'https://partner.example.com' });

  test('names the current actor first, each by the name of its issuer', async () => {
    const act = {
      sub: 'service-1',
      act: { sub: 'service-2', iss: ISS, act: { sub: 'service-3', iss: partner.issuer } },
    };
    expect(await verify(await idp.sign({ act }), {}, START, [partner])).toMatchObject({
      actors: ['staff/service-1', 'staff/service-2', 'partner/service-3'],
    });
  });

  test('is absent where the token names none', async () => {
    expect(await verify(await idp.sign())).not.toHaveProperty('actors');
  });

  test.each<[string, unknown]>([
    ['null', null],
    ['a string', 'service-1'],
    ['a list', [{ sub: 'a' }]],
    ['no subject', {}],
    ['an empty subject', { sub: '' }],
    ['a subject beyond ASCII', { sub: 'd\u00e9j\u00e0' }],
    ['an issuer that is not configured', { sub: 'a', iss: 'https://evil.example.com' }],
    ['an issuer that is no string', { sub: 'a', iss: 1 }],
    ['something malformed further in', { sub: 'a', act: { sub: 'b', act: 'c' } }],
  ])('is refused with %s', async (_, act) => {
    expect(await verify(await idp.sign({ act }))).toMatchObject({ refusal: 'token_claims_refused' });
  });

  test('is taken up to eight actors and refused beyond', async () => {
    const chain = (length: number): object =>
      length === 1 ? { sub: 'a' } : { sub: 'a', act: chain(length - 1) };
    expect(await verify(await idp.sign({ act: chain(8) }))).toMatchObject({ subject: 'alice' });
    expect(await verify(await idp.sign({ act: chain(9) }))).toMatchObject({
      refusal: 'token_claims_refused',
      detail: "'act' holds more than 8 actors",
    });
  });
});

describe('an issuer that puts iss, exp and its own name into the header', () => {
  const SIGNER = 'arn:aws:ec2:us-east-1:123456789012:verified-access-instance/vai-1';
  const options: Partial<IssuerOptions> = {
    registeredIn: 'header',
    header: 'x-amzn-ava-user-context',
    audiences: [SIGNER],
    types: [''],
  };
  const header = { typ: undefined, iss: ISS, exp: NOW_S + 120, signer: SIGNER };
  const bare = { iss: undefined, aud: undefined, exp: undefined, iat: undefined };

  test('is believed, since the signature covers the header', async () => {
    expect(await verify(await idp.sign(bare, header), options)).toMatchObject({
      subject: 'alice',
      audiences: [SIGNER],
      expiresAt: NOW_S + 120,
    });
  });

  test('has what the payload says of these claims passed over', async () => {
    const claims = { iss: 'https://evil.example.com', aud: 'x', exp: NOW_S + 9_999_999, iat: undefined };
    expect(await verify(await idp.sign(claims, header), options)).toMatchObject({ expiresAt: NOW_S + 120 });
    expect(
      await verify(await idp.sign({ ...bare, aud: SIGNER }, { ...header, signer: 'x' }), options),
    ).toMatchObject({ refusal: 'token_audience_wrong' });
  });

  test.each<[string, object, string]>([
    ['no signer', { signer: undefined }, 'token_audience_wrong'],
    ['another signer', { signer: `${SIGNER}x` }, 'token_audience_wrong'],
    ['no expiry', { exp: undefined }, 'token_claims_refused'],
    ['an expiry in words', { exp: String(NOW_S + 120) }, 'token_claims_refused'],
    ['an expiry in the past', { exp: NOW_S - 31 }, 'token_expired'],
    ['another issuer', { iss: 'https://evil.example.com' }, 'token_issuer_unknown'],
    ['no issuer', { iss: undefined }, 'token_issuer_unknown'],
  ])('is refused with %s', async (_, change, refusal) => {
    expect(await verify(await idp.sign(bare, { ...header, ...change }), options)).toMatchObject({ refusal });
  });

  test('does not make the header of other tokens count', async () => {
    const token = await idp.sign({ iss: undefined }, { iss: ISS });
    expect(await verify(token)).toMatchObject({ refusal: 'token_issuer_unknown' });
  });
});

describe('new tokens beyond what can be verified', () => {
  test('are refused as overloaded while other issuers go on', async () => {
    const released = Promise.withResolvers<void>();
    const resolver = keySetOf('x', idp).keys(START) as KeyResolver;
    const slow: KeySet = {
      ...keySetOf('slow', idp),
      keys: () => SLOW,
    };
    const SLOW: KeyResolver = async (header) => {
      await released.promise;
      return await resolver(header);
    };
    const issuers = [
      createIssuer({
        ...staff(),
        name: 'slow',
        issuer: 'https://slow.example.com',
        algorithms: ['ES256', 'ES512'],
      }),
      staff(),
    ];
    const keySets = new Map<string, KeySet>([
      ['slow', slow],
      ['staff', keySetOf('staff', idp)],
    ]);
    const verifier = createTokenVerifier(issuers, keySets, manualClock());
    const token = await idp.sign({ iss: 'https://slow.example.com' });
    const answers = Array.from({ length: 300 }, async () => verifier.verify(token, 'user', START));
    expect(await verifier.verify(await idp.sign(), 'user', START)).toMatchObject({ subject: 'alice' });
    released.resolve();
    const settled = await Promise.all(answers);
    const refused = settled.filter((answer) => 'refusal' in answer && answer.refusal === 'overloaded');
    // One runs and 256 wait, for an issuer that may sign with an expensive algorithm.
    expect(refused).toHaveLength(300 - 257);
    expect(await verifier.verify(token, 'user', START)).toMatchObject({ subject: 'alice' });
  });

  test('that are the same are verified once', async () => {
    let asked = 0;
    const keySet = keySetOf('staff', idp);
    const resolver = keySet.keys(START) as KeyResolver;
    const counting: KeyResolver = (header) => {
      asked += 1;
      return resolver(header);
    };
    const verifier = createTokenVerifier(
      [staff()],
      new Map([['staff', { ...keySet, keys: () => counting }]]),
      manualClock(),
      { maxBytes: 1_000_000, maxAgeMs: 60_000 },
    );
    const token = await idp.sign();
    const answers = await Promise.all(
      Array.from({ length: 50 }, async () => verifier.verify(token, 'user', START)),
    );
    expect(asked).toBe(1);
    expect(new Set(answers).size).toBe(1);
  });
});

describe('a signed token with any JSON whatever', () => {
  test('in cnf is bound or refused, and never a bearer token', async () => {
    const known = fc.record({ 'x5t#S256': fc.jsonValue(), jkt: fc.jsonValue() }, { requiredKeys: [] });
    await fc.assert(
      fc.asyncProperty(fc.oneof(fc.jsonValue(), known), async (cnf) => {
        const answer = await verify(await idp.sign({ cnf }));
        expect('refusal' in answer || answer.confirmation !== undefined).toBe(true);
      }),
      { numRuns: 60 },
    );
  });

  test('in act names its actors or is refused', async () => {
    const chain = fc.letrec((tie) => ({
      act: fc.record({ sub: fc.string(), act: fc.oneof({ maxDepth: 10 }, fc.jsonValue(), tie('act')) }),
    })).act;
    await fc.assert(
      fc.asyncProperty(fc.oneof(fc.jsonValue(), chain), async (act) => {
        const answer = await verify(await idp.sign({ act }));
        expect('refusal' in answer || (answer.actors?.length ?? 0) > 0).toBe(true);
      }),
      { numRuns: 60 },
    );
  });
});
