import type { ServerUnaryCall } from '@grpc/grpc-js';
import type { Pep } from '../pdp/access-request.ts';
import { type Refusal, refuse } from '../pdp/decision.ts';
import type { WorkloadIdentity } from '../pdp/identity.ts';
import { uriNames } from '../pdp/subject-alt-name.ts';

/** Which callers a surface serves. */
export interface CallerRule {
  /** The trust domain whose CA the listener trusts: an ID of another one is not vouched for. */
  readonly trustDomain: string;
  /** SPIFFE IDs that may ask. Empty: nobody. */
  readonly allow: readonly string[];
  /** Reads a SPIFFE ID; `undefined` for what is none. */
  parse(spiffeId: string): WorkloadIdentity | undefined;
}

/** Who is calling: the connection's address and, on TLS, the workload that its certificate names. */
export function pepOf(call: ServerUnaryCall<unknown, unknown>, rule: CallerRule | undefined): Pep {
  const address = call.getPeer();
  const [spiffeId, ...others] =
    (rule && uriNames(call.getAuthContext().sslPeerCertificate?.subjectaltname)) ?? [];
  if (rule === undefined || spiffeId === undefined || others.length > 0) return { address };
  const workload = rule.parse(spiffeId);
  return workload === undefined ? { address } : { address, workload };
}

/** Refuses callers outside of the rule. No rule: the listener is plaintext, by explicit choice, and takes anybody. */
export function checkCaller({ workload }: Pep, rule: CallerRule | undefined): Refusal | undefined {
  if (!rule) return undefined;
  if (workload === undefined)
    return refuse('caller_not_allowed', 'the certificate of the caller does not hold exactly one SPIFFE ID');
  if (workload.trustDomain !== rule.trustDomain)
    return refuse('caller_not_allowed', `${workload.id} is not of trust domain ${rule.trustDomain}`);
  return rule.allow.includes(workload.id)
    ? undefined
    : refuse('caller_not_allowed', `${workload.id} is not on the allow list of this surface`);
}
