import { hash } from 'node:crypto';
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
