import { hash } from 'node:crypto';
import type { AccessRequest } from '../pdp/access-request.ts';
import { singleHeader } from '../pdp/canonical.ts';
import { type Refusal, refuse } from '../pdp/decision.ts';

/**
 * A refusal that names the text it is about by its fingerprint: the text itself is gone after this, and an operator can find it again in
 * the records, or at whoever made it. What a refusal names already stays.
 */
export function withEvidence(refused: Refusal, text: string): Refusal {
  const { refusal, detail, evidence, cause } = refused;
  if (evidence !== undefined) return refused;
  return refuse(refusal, detail, {
    evidence: `sha256:${hash('sha256', text, 'base64url')}`,
    ...(cause && { cause }),
  });
}

/**
 * The single value of a header that holds evidence, as `singleHeader` reads it. A refusal names what was sent by the fingerprint of all
 * values, joined by `, `; where only a twin with underscores was sent, there is none.
 */
export function singleEvidence(
  request: AccessRequest,
  name: string,
  conflict: Refusal,
): string | Refusal | undefined {
  const value = singleHeader(request, name, conflict);
  if (value === undefined || typeof value === 'string') return value;
  const values = request.http.headers.values(name);
  return values.length === 0 ? value : withEvidence(value, values.join(', '));
}
