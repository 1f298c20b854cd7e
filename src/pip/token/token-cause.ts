import type { DenyReason, EvidenceCause } from '../../pdp/decision.ts';

/** The reasons that a verifier of tokens gives. */
type TokenReason = Extract<DenyReason, `token_${string}`>;

/** What each of them says is wrong, for evidence whose own reason does not. */
const CAUSES: Readonly<Record<TokenReason, EvidenceCause>> = {
  token_malformed: 'malformed',
  token_issuer_unknown: 'issuer',
  token_type_refused: 'type',
  token_algorithm_refused: 'algorithm',
  token_key_unknown: 'key',
  token_signature_invalid: 'signature',
  token_audience_wrong: 'audience',
  token_expired: 'expired',
  token_not_yet_valid: 'not_yet_valid',
  token_claims_refused: 'claims',
  token_unverifiable: 'unavailable',
  token_binding_failed: 'binding',
};

/** The cause that the refusal of a token stands for. What is no word about the token (`overloaded`, `internal`) is `unavailable`. */
export function causeOfToken(reason: DenyReason): EvidenceCause {
  return isTokenReason(reason) ? CAUSES[reason] : 'unavailable';
}

function isTokenReason(reason: DenyReason): reason is TokenReason {
  return Object.hasOwn(CAUSES, reason);
}
