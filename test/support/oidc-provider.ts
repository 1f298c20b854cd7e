import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type JWK, exportJWK, generateKeyPair } from 'jose';
import { Provider } from 'oidc-provider';

/** A real OpenID provider on loopback. */
export interface TestOidcProvider extends AsyncDisposable {
  /** Value of `iss`; also the base of its endpoints. */
  readonly issuer: string;
  readonly jwksUri: string;
  /** Gets a JWT access token (RFC 9068) for a resource by the client credentials grant; `sub` is the client's id. */
  accessToken(resource: string, alg: 'RS256' | 'ES256'): Promise<string>;
  /** Withdraws its keys and signs with others from now on; their ids are `key-<alg>` as at first, or `<prefix>-<alg>`. */
  rotate(prefix?: string): Promise<void>;
}

const CLIENT = { id: 'test-client', secret: 'test-secret' };

/** Starts a provider in this process that signs access tokens with RS256 or ES256, whichever is asked for. */
export async function startOidcProvider(): Promise<TestOidcProvider> {
  const server = createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  let handle = await handlerOf(issuer, 'key');
  server.on('request', (request, response) => void handle(request, response));
  return {
    issuer,
    jwksUri: `${issuer}/jwks`,
    accessToken: (resource, alg) => requestToken(issuer, resource, alg),
    async rotate(prefix = 'key') {
      handle = await handlerOf(issuer, prefix);
    },
    async [Symbol.asyncDispose]() {
      if (!server.listening) return;
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}

/** A provider with new keys; `prefix` is what their ids begin with. */
async function handlerOf(issuer: string, prefix: string): Promise<ReturnType<Provider['callback']>> {
  const provider = new Provider(issuer, {
    clients: [
      {
        client_id: CLIENT.id,
        client_secret: CLIENT.secret,
        grant_types: ['client_credentials'],
        redirect_uris: [],
        response_types: [],
      },
    ],
    jwks: { keys: [await privateJwk('RS256', prefix), await privateJwk('ES256', prefix)] },
    ttl: { ClientCredentials: 300 },
    scopes: ['RS256', 'ES256'],
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      resourceIndicators: {
        enabled: true,
        getResourceServerInfo: (context, resource) => ({
          scope: 'RS256 ES256',
          audience: resource,
          accessTokenTTL: 300,
          accessTokenFormat: 'jwt',
          jwt: { sign: { alg: context.oidc.params?.['scope'] === 'RS256' ? 'RS256' : 'ES256' } },
        }),
      },
    },
    extraTokenClaims: () => ({ groups: ['finance', 'readers'] }),
  });
  return provider.callback();
}

async function privateJwk(alg: string, prefix: string): Promise<JWK> {
  const { privateKey } = await generateKeyPair(alg, { extractable: true });
  return { ...(await exportJWK(privateKey)), kid: `${prefix}-${alg}`, alg, use: 'sig' };
}

async function requestToken(issuer: string, resource: string, scope: string): Promise<string> {
  const response = await fetch(`${issuer}/token`, {
    method: 'POST',
    headers: { authorization: `Basic ${Buffer.from(`${CLIENT.id}:${CLIENT.secret}`).toString('base64')}` },
    body: new URLSearchParams({ grant_type: 'client_credentials', resource, scope }),
  });
  const answer = (await response.json()) as { access_token?: string; error_description?: string };
  if (answer.access_token === undefined)
    throw new Error(`the provider gave no token: ${JSON.stringify(answer)}`);
  return answer.access_token;
}
