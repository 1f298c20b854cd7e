import type { ServerUnaryCall } from '@grpc/grpc-js';
import type { Pep } from '../pdp/access-request.ts';
import { type Refusal, refuse } from '../pdp/decision.ts';
import { uriNames } from '../pdp/subject-alt-name.ts';

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
  const [spiffeId, ...others] =
    (rule && uriNames(call.getAuthContext().sslPeerCertificate?.subjectaltname)) ?? [];
  return spiffeId === undefined || others.length > 0 ? { address } : { address, spiffeId };
}

/** Refuses callers outside of the rule. No rule: the listener is plaintext, by explicit choice, and takes anybody. */
export function checkCaller(pep: Pep, rule: CallerRule | undefined): Refusal | undefined {
  if (!rule) return undefined;
  const { spiffeId } = pep;
  if (spiffeId === undefined)
    return refuse('caller_not_allowed', 'the certificate of the caller does not hold exactly one URI');
  if (!spiffeId.startsWith(`spiffe://${rule.trustDomain}/`))
    return refuse('caller_not_allowed', `${spiffeId} is not of trust domain ${rule.trustDomain}`);
  return rule.allow.includes(spiffeId)
    ? undefined
    : refuse('caller_not_allowed', `${spiffeId} is not on the allow list of this surface`);
}
