import type { AccessRequest } from '../../pdp/access-request.ts';
import { type Refusal, isRefusal, refuse } from '../../pdp/decision.ts';
import { singleEvidence, withEvidence } from '../evidence.ts';

/** The one credential of a user that a request holds; nothing in it is verified. */
export interface UserCredential {
  /** Lower-case name of the header it came in. */
  readonly header: string;
  /** `assertion`: the whole header is the token, as proxies send it. */
  readonly scheme: 'bearer' | 'dpop' | 'assertion';
  readonly token: string;
}

/**
 * The user's credential in one of `headers`; no other header is read. `authorization` holds a scheme, Bearer (RFC 6750 §2.1) or DPoP
 * (RFC 9449 §7.1), and a token; every other header the bare token. Two of the headers, one of them twice, or a ',' that may hide that, are
 * `credentials_conflict`: who would choose between two users? What is neither is `token_malformed`. `undefined`: none was sent.
 */
export function readUserCredential(
  request: AccessRequest,
  headers: readonly string[],
): UserCredential | Refusal | undefined {
  let found: UserCredential | Refusal | undefined;
  let first = '';
  for (const header of headers) {
    const credential = credentialIn(request, header);
    if (credential === undefined) continue;
    if (found !== undefined)
      return refuse('credentials_conflict', `credentials in both '${first}' and '${header}'`);
    found = credential;
    first = header;
    // Two credentials are a conflict whatever else is wrong with the first.
    if (isRefusal(credential) && credential.refusal !== 'token_malformed') return credential;
  }
  return found;
}

function credentialIn(request: AccessRequest, header: string): UserCredential | Refusal | undefined {
  const conflict = refuse('credentials_conflict', `more than one '${header}' header`);
  const value = singleEvidence(request, header, conflict);
  if (typeof value !== 'string') return value;
  // Tokens hold no comma; one here is two headers that the PEP has joined.
  if (value.includes(',')) return withEvidence(conflict, value);
  if (header !== 'authorization') return { header, scheme: 'assertion', token: value };
  const [, scheme, token] = /^(bearer|dpop) ([^ ]+)$/i.exec(value) ?? [];
  if (scheme === undefined || token === undefined)
    return withEvidence(
      refuse('token_malformed', `the '${header}' header is not 'Bearer' or 'DPoP', one space and a token`),
      value,
    );
  return { header, scheme: scheme.toLowerCase() === 'dpop' ? 'dpop' : 'bearer', token };
}
