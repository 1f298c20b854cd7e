import { type Refusal, refuse } from '../../pdp/decision.ts';
import type { Issuer } from './issuer.ts';
import { oneOf } from '../printable.ts';

type Payload = Readonly<Record<string, unknown>>;

/**
 * Keeps kinds of tokens of one issuer apart by what they claim (RFC 8725 §3.12): the `typ` of an ID token and of an access token is often
 * the same. A claim that only another kind has is `token_type_refused`; one that is missing or has another value,
 * `token_claims_refused`.
 */
export function checkTokenKind(issuer: Issuer, payload: Payload): Refusal | undefined {
  const foreign = issuer.forbiddenClaims.find((claim) => valueOf(payload, claim) !== undefined);
  if (foreign !== undefined)
    return refuse('token_type_refused', `claim '${foreign}' marks a token of another kind`);
  const missing = issuer.requiredClaims.find((claim) => valueOf(payload, claim) === undefined);
  if (missing !== undefined) return refuse('token_claims_refused', `claim '${missing}' is missing`);
  for (const [claim, values] of Object.entries(issuer.claimValues)) {
    const value = valueOf(payload, claim);
    if (typeof value === 'string' && values.includes(value)) continue;
    return refuse('token_claims_refused', `claim '${claim}' is not ${oneOf(values)}`);
  }
  return undefined;
}

function valueOf(payload: Payload, claim: string): unknown {
  return Object.hasOwn(payload, claim) ? (payload[claim] ?? undefined) : undefined;
}
