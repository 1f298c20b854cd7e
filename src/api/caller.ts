import type { ServerUnaryCall } from '@grpc/grpc-js';
import type { Pep } from '../pdp/access-request.ts';
import { type Refusal, refuse } from '../pdp/decision.ts';

/** Which callers a surface serves. */
export interface CallerRule {
  /** The trust domain whose CA the listener trusts: an ID of another one is not vouched for. */
  readonly trustDomain: string;
  /** SPIFFE IDs that may ask. Empty: nobody. */
  readonly allow: readonly string[];
}

/** Who is calling: the connection's address and, on TLS, the SPIFFE ID of its certificate. */
export function pepOf(call: ServerUnaryCall<unknown, unknown>, rule: CallerRule | undefined): Pep {
  const address = call.getPeer();
  const spiffeId = rule && spiffeIdOf(call.getAuthContext().sslPeerCertificate?.subjectaltname);
  return spiffeId === undefined ? { address } : { address, spiffeId };
}

/** Refuses callers outside of the rule. No rule: the listener is plaintext, by explicit choice, and takes anybody. */
export function checkCaller(pep: Pep, rule: CallerRule | undefined): Refusal | undefined {
  if (!rule) return undefined;
  const { spiffeId } = pep;
  if (spiffeId === undefined)
    return refuse('caller_not_allowed', 'the caller has no SPIFFE ID in its certificate');
  if (!spiffeId.startsWith(`spiffe://${rule.trustDomain}/`))
    return refuse('caller_not_allowed', `${spiffeId} is not of trust domain ${rule.trustDomain}`);
  return rule.allow.includes(spiffeId)
    ? undefined
    : refuse('caller_not_allowed', `${spiffeId} is not on the allow list of this surface`);
}

/**
 * The one URI SAN, from Node's comma-joined text. Node quotes values that hold commas (CVE-2021-44532); a SPIFFE ID never needs
 * that, so any quote means that somebody is being clever.
 */
function spiffeIdOf(subjectAltName: string | undefined): string | undefined {
  if (subjectAltName === undefined || subjectAltName.includes('"')) return undefined;
  const uris = subjectAltName.split(', ').filter((name) => name.startsWith('URI:'));
  return uris.length === 1 ? uris[0]?.slice('URI:'.length) : undefined;
}
