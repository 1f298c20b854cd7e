import type { AccessRequest } from '../pdp/access-request.ts';
import { singleHeader } from '../pdp/canonical.ts';
import { type Refusal, isRefusal, refuse } from '../pdp/decision.ts';
import type { UserAuthenticator } from '../pdp/ports.ts';
import type { TokenVerifier } from './token-verifier.ts';

/** Settings of {@link createUserAuthenticator}. */
export interface UserAuthenticatorOptions {
  readonly verifier: TokenVerifier;
  /** Lower-case name of the header with the bearer token; default `authorization`. */
  readonly header?: string;
}

/**
 * Takes the user from the bearer token (RFC 6750 §2.1) of a request. Exactly one token may be sent: a second header, or a ','
 * that may hide one, is `credentials_conflict`; another scheme than Bearer is `token_malformed`. The user's id is
 * `<issuer name>/<sub>`; names of issuers hold no '/', so the id is unambiguous.
 */
export function createUserAuthenticator(options: UserAuthenticatorOptions): UserAuthenticator {
  const { verifier, header = 'authorization' } = options;
  return {
    async authenticate({ request, receivedAt: now }) {
      const token = bearerToken(request, header);
      if (token === undefined || typeof token !== 'string') return token;
      const verified = await verifier.verify(token, 'user', now);
      if (isRefusal(verified)) return verified;
      return { id: `${verified.issuer}/${verified.subject}`, token: verified };
    },
    missingKeys: () => verifier.missingKeys(),
  };
}

function bearerToken(request: AccessRequest, header: string): string | Refusal | undefined {
  const conflict = refuse('credentials_conflict', `more than one '${header}' header`);
  const value = singleHeader(request, header, conflict);
  if (typeof value !== 'string') return value;
  // Bearer tokens hold no comma; one here is two headers that the PEP has joined.
  if (value.includes(',')) return conflict;
  const match = /^bearer ([^ ]+)$/i.exec(value);
  return (
    match?.[1] ?? refuse('token_malformed', `the '${header}' header is not 'Bearer', one space and a token`)
  );
}
