import { hash } from 'node:crypto';
import { type Refusal, refuse } from '../pdp/decision.ts';

/**
 * A refusal that names the text it is about by its fingerprint: the text itself is gone after this, and an operator can find it again in
 * the records, or at whoever made it. What a refusal names already stays.
 */
export function withEvidence(refused: Refusal, text: string): Refusal {
  const { refusal, detail, evidence } = refused;
  return evidence === undefined
    ? refuse(refusal, detail, `sha256:${hash('sha256', text, 'base64url')}`)
    : refused;
}
