import type { HttpRoutes } from './http-server.ts';

/** Public keys by which what we sign is verified. */
export interface ServedKeys {
  /** The JWK Set. */
  document(): object;
  /** How long it may be cached, in seconds. */
  readonly maxAgeS: number;
}

/** Serves a JWK Set (RFC 7517 §5) at `/.well-known/jwks.json`. */
export function keySetRoutes(jwks: ServedKeys): HttpRoutes {
  return (app) => {
    app.get('/.well-known/jwks.json', (_request, reply) =>
      reply
        .header('cache-control', `public, max-age=${jwks.maxAgeS}`)
        .type('application/jwk-set+json')
        .send(JSON.stringify(jwks.document())),
    );
  };
}
