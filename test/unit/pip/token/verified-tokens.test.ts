import { describe, expect, it } from 'vitest';
import { isRefusal } from '../../../../src/pdp/decision.ts';
import type { VerifiedToken } from '../../../../src/pdp/identity.ts';
import { createIssuer } from '../../../../src/pip/token/issuer.ts';
import { createKeySet } from '../../../../src/pip/jwks/jwks.ts';
import { createTokenVerifier } from '../../../../src/pip/token/token-verifier.ts';
import { VerifiedTokens } from '../../../../src/pip/token/verified-tokens.ts';
import { createTestIssuer } from '../../../support/tokens.ts';

const NOW = 1_800_000_000_000;
const silent = { info: () => undefined, warn: () => undefined, error: () => undefined };

/** A verifier over keys that a test can change, at a time that it owns. */
async function setUp(caching = { maxBytes: 1_000_000, maxAgeMs: 60_000 }) {
  let now = NOW;
  const clock = { now: () => now, monotonic: () => now };
  const issuerOptions = {
    issuer: 'https://idp.example',
    audience: 'pdp',
    alg: 'ES256' as const,
    now: () => NOW,
  };
  const idp = await createTestIssuer(issuerOptions);
  const other = await createTestIssuer(issuerOptions);
  let jwks = idp.jwks;
  const keySet = createKeySet({
    name: 'idp',
    source: { url: 'https://idp.example/keys' },
    clock,
    fetch: () => Promise.resolve(new Response(JSON.stringify(jwks))),
    refreshMs: 86_400_000,
    staleCeilingMs: 600_000,
    log: silent,
  });
  await keySet.start();
  const issuer = createIssuer({
    name: 'idp',
    issuer: 'https://idp.example',
    use: 'user',
    audiences: ['pdp'],
    algorithms: ['ES256'],
    types: ['', 'JWT', 'at+jwt'],
    skewSeconds: 0,
  });
  const verifier = createTokenVerifier([issuer], new Map([['idp', keySet]]), clock, caching);
  return {
    idp,
    verify: async (token: string): Promise<VerifiedToken | string> => {
      const result = await verifier.verify(token, 'user', now);
      return isRefusal(result) ? result.refusal : result;
    },
    advance: (ms: number) => (now += ms),
    back: (ms: number) => (now -= ms),
    async rotate() {
      jwks = other.jwks;
      now += 11_000;
      keySet.requestRefresh();
      const before = keySet.keys(now);
      while (keySet.keys(now) === before) await new Promise((resolve) => setImmediate(resolve));
    },
    [Symbol.dispose]: () => keySet[Symbol.dispose](),
  };
}

const claims = { sub: 'alice', exp: NOW / 1000 + 300, iat: NOW / 1000 };

describe('the cache of verified tokens', () => {
  it('gives back the very same verification for the very same token', async () => {
    using world = await setUp();
    const token = await world.idp.sign(claims);
    const first = await world.verify(token);
    expect(await world.verify(token)).toBe(first);
    expect(first).toMatchObject({ subject: 'alice' });
  });

  it('verifies anew where it is turned off', async () => {
    using world = await setUp({ maxBytes: 0, maxAgeMs: 60_000 });
    const token = await world.idp.sign(claims);
    const first = await world.verify(token);
    expect(await world.verify(token)).not.toBe(first);
  });

  it('does not take a tampered token for a known one, in any of its parts', async () => {
    using world = await setUp();
    const token = await world.idp.sign(claims);
    await world.verify(token);
    const [header = '', payload = '', signature = ''] = token.split('.');
    const evil = Buffer.from(
      JSON.stringify({ ...claims, iss: 'https://idp.example', aud: 'pdp', sub: 'root' }),
    ).toString('base64url');
    expect(await world.verify(`${header}.${evil}.${signature}`)).toBe('token_signature_invalid');
    const flipped = signature.startsWith('A') ? `B${signature.slice(1)}` : `A${signature.slice(1)}`;
    expect(await world.verify(`${header}.${payload}.${flipped}`)).toBe('token_signature_invalid');
  });

  it('ends an entry when the token expires', async () => {
    using world = await setUp();
    const token = await world.idp.sign({ ...claims, exp: NOW / 1000 + 30 });
    expect(await world.verify(token)).toMatchObject({ subject: 'alice' });
    world.advance(31_000);
    expect(await world.verify(token)).toBe('token_expired');
  });

  it('ends an entry at its ceiling', async () => {
    using world = await setUp();
    const token = await world.idp.sign(claims);
    const first = await world.verify(token);
    world.advance(60_001);
    expect(await world.verify(token)).not.toBe(first);
  });

  it('ends an entry when the keys of the issuer change', async () => {
    using world = await setUp();
    const token = await world.idp.sign(claims);
    expect(await world.verify(token)).toMatchObject({ subject: 'alice' });
    await world.rotate();
    expect(await world.verify(token)).toMatch(/^token_(key_unknown|signature_invalid)$/);
  });

  it('ends an entry when the keys grow too old to be used', async () => {
    using world = await setUp({ maxBytes: 1_000_000, maxAgeMs: 3_600_000 });
    const token = await world.idp.sign({ ...claims, exp: NOW / 1000 + 3600 });
    expect(await world.verify(token)).toMatchObject({ subject: 'alice' });
    world.advance(600_001);
    expect(await world.verify(token)).toBe('token_unverifiable');
  });

  it('verifies anew after the clock went back', async () => {
    using world = await setUp();
    const token = await world.idp.sign({ ...claims, nbf: NOW / 1000 });
    await world.verify(token);
    world.back(120_000);
    expect(await world.verify(token)).toBe('token_not_yet_valid');
  });

  it('keeps no failure', async () => {
    using world = await setUp();
    const token = await world.idp.sign({ ...claims, nbf: NOW / 1000 + 60 });
    expect(await world.verify(token)).toBe('token_not_yet_valid');
    world.advance(61_000);
    expect(await world.verify(token)).toMatchObject({ subject: 'alice' });
  });

  it('stays within its bytes however many tokens come', () => {
    const tokens = new VerifiedTokens({ maxBytes: 100_000, maxAgeMs: 1000 });
    const token = {
      issuer: 'i',
      subject: 's',
      algorithm: 'ES256',
      audiences: [],
      expiresAt: 1,
      claims: {},
      groups: [],
    };
    const keys = (() => Promise.reject(new Error('unused'))) as never;
    let held = 0;
    const issuer = createIssuer({
      name: 'idp',
      issuer: 'https://idp.example',
      use: 'user',
      audiences: ['pdp'],
      algorithms: ['ES256'],
      types: ['at+jwt'],
    });
    const entry = { token, issuer, keys, currentKeys: () => keys, verifiedAt: 0, expiresAt: 1000 };
    const names = Array.from({ length: 10_000 }, (_, index) => tokens.key(`token-${index}`, 'user'));
    for (const name of names) tokens.set(name, entry, 500);
    for (const name of names) held += tokens.get(name, 1) ? 1 : 0;
    expect(held).toBe(50);
  });

  it('tells the uses of one token apart', () => {
    const tokens = new VerifiedTokens({ maxBytes: 1000, maxAgeMs: 1 });
    expect(tokens.key('t', 'user')).not.toBe(tokens.key('t', 'device'));
    expect(tokens.key('t', 'user', 'x-one')).not.toBe(tokens.key('t', 'user', 'x-two'));
  });
});
