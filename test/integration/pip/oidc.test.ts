import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type IssuerOptions, createIssuer } from '../../../src/pip/token/issuer.ts';
import { type KeySet, createKeySet } from '../../../src/pip/jwks/jwks.ts';
import { type TokenVerifier, createTokenVerifier } from '../../../src/pip/token/token-verifier.ts';
import { createUserAuthenticator } from '../../../src/pip/token/user-token.ts';
import { type TestOidcProvider, startOidcProvider } from '../../support/oidc-provider.ts';
import { memoryLog, receivedWith } from '../../unit/pip/fixture.ts';

const API = 'https://api.example.com';
const clock = { now: () => Date.now(), monotonic: () => performance.now() };

let provider: TestOidcProvider;
let keySet: KeySet;

beforeAll(async () => {
  provider = await startOidcProvider();
  keySet = createKeySet({ name: 'staff', source: { url: provider.jwksUri }, clock, log: memoryLog() });
  await keySet.start();
});

afterAll(async () => {
  keySet[Symbol.dispose]();
  await provider[Symbol.asyncDispose]();
});

function verifierOf(options: Partial<IssuerOptions> = {}): TokenVerifier {
  const issuer = createIssuer({
    name: 'staff',
    issuer: provider.issuer,
    use: 'user',
    audiences: [API],
    algorithms: ['ES256', 'RS256'],
    types: ['at+jwt'],
    claims: {
      groups: 'groups',
      attributes: {
        scopes: { claim: 'scope', type: 'string_set' },
        client: { claim: 'client_id', type: 'string' },
      },
    },
    ...options,
  });
  return createTokenVerifier([issuer], new Map([['staff', keySet]]), clock);
}

describe('a real OpenID provider', () => {
  test.each(['RS256', 'ES256'] as const)(
    'has its %s access tokens verified through its jwks_uri',
    async (algorithm) => {
      const token = await provider.accessToken(API, algorithm);
      const received = receivedWith({ headers: [['authorization', `Bearer ${token}`]] }, Date.now());
      const user = await createUserAuthenticator({ verifier: verifierOf(), issuers: [] }).authenticate(
        received,
        {},
      );
      expect(user).toMatchObject({
        id: 'staff/test-client',
        token: {
          algorithm,
          keyId: `key-${algorithm}`,
          audiences: [API],
          groups: ['finance', 'readers'],
          claims: { scopes: [algorithm], client: 'test-client' },
          tokenId: expect.any(String) as string,
        },
      });
    },
  );

  test('has its tokens refused for another resource', async () => {
    const token = await provider.accessToken('https://other.example.com', 'ES256');
    expect(await verifierOf().verify(token, 'user', Date.now())).toEqual({
      refusal: 'token_audience_wrong',
      detail: `audience is 'https://other.example.com', expected '${API}'`,
    });
  });

  test('has its tokens refused once they have expired', async () => {
    const token = await provider.accessToken(API, 'ES256');
    expect(await verifierOf().verify(token, 'user', Date.now() + 600_000)).toMatchObject({
      refusal: 'token_expired',
    });
  });

  test('has its tokens refused by an issuer that is pinned to another algorithm', async () => {
    const token = await provider.accessToken(API, 'RS256');
    expect(await verifierOf({ algorithms: ['ES256'] }).verify(token, 'user', Date.now())).toMatchObject({
      refusal: 'token_algorithm_refused',
    });
  });

  test('has every altered character of a token noticed', async () => {
    const token = await provider.accessToken(API, 'RS256');
    const verifier = verifierOf();
    for (let at = 0; at < token.length; at += 7) {
      const altered = `${token.slice(0, at)}${token[at] === 'A' ? 'B' : 'A'}${token.slice(at + 1)}`;
      expect(await verifier.verify(altered, 'user', Date.now())).toHaveProperty('refusal');
    }
  });
});
