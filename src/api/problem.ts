import type { Deny } from '../pdp/decision.ts';
import { STATUS, type WireStatus } from './status.ts';

/**
 * The body of a deny: RFC 9457 problem details with the decision id and public words. `detail` of the decision, which is for
 * operators, never goes in.
 */
export function problemDetails(id: string, decision: Deny): string {
  const status = STATUS[decision.reason];
  return JSON.stringify({
    type: `urn:cedar-pdp:problem:${decision.reason}`,
    title: status.message,
    status: status.http,
    ...(decision.message !== undefined && { detail: decision.message }),
    reason: decision.reason,
    decision_id: id,
  });
}

/**
 * The `WWW-Authenticate` challenge of a deny (RFC 6750 §3, RFC 9470 §3, RFC 9449 §7.1), where its reason has one. A proof that is not accepted
 * is answered for the scheme DPoP; everything else for Bearer, and where `dpopAlgorithms` are accepted for DPoP too. Nonces are not
 * offered.
 */
export function wwwAuthenticate(
  decision: Deny,
  realm: string,
  dpopAlgorithms: readonly string[] = [],
): string | undefined {
  const { challenge, message }: WireStatus = STATUS[decision.reason];
  if (challenge === undefined) return undefined;
  const parts = [`realm="${realm}"`];
  if (challenge !== '') {
    parts.push(`error="${challenge}"`, `error_description="${quotable(decision.message ?? message)}"`);
  }
  if (decision.advice?.acrValues !== undefined) parts.push(`acr_values="${decision.advice.acrValues}"`);
  const algorithms = dpopAlgorithms.length === 0 ? [] : [`algs="${dpopAlgorithms.join(' ')}"`];
  if (challenge === 'invalid_dpop_proof') return `DPoP ${[...parts, ...algorithms].join(', ')}`;
  const bearer = `Bearer ${parts.join(', ')}`;
  return algorithms.length === 0 ? bearer : `${bearer}, DPoP ${[parts[0], ...algorithms].join(', ')}`;
}

function quotable(text: string): string {
  return text.replace(/["\\]/g, "'");
}
