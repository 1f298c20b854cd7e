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

/** The `WWW-Authenticate` challenge of a deny (RFC 6750 §3, RFC 9470 §3), where its reason has one. */
export function wwwAuthenticate(decision: Deny, realm: string): string | undefined {
  const status: WireStatus = STATUS[decision.reason];
  if (status.challenge === undefined) return undefined;
  const parts = [`realm="${realm}"`];
  if (status.challenge !== '') {
    parts.push(
      `error="${status.challenge}"`,
      `error_description="${quotable(decision.message ?? status.message)}"`,
    );
  }
  if (decision.advice?.acrValues !== undefined) parts.push(`acr_values="${decision.advice.acrValues}"`);
  return `Bearer ${parts.join(', ')}`;
}

function quotable(text: string): string {
  return text.replace(/["\\]/g, "'");
}
