import { type DenyReason, type EvidenceCause, FAULT_REASONS, Refusal } from './decision.ts';
import type { Identities, RefusedEvidence, TokenState } from './identity.ts';
import type { DecisionTrace } from './trace.ts';

/**
 * What is wrong with evidence that was refused for a reason, unless the refusal says so itself. A new reason does not compile before it
 * has a row; `undefined`: that reason is not about evidence.
 */
const CAUSE = {
  no_permit: undefined,
  policy_forbids: undefined,
  step_up_required: undefined,
  authentication_required: undefined,
  policy_error: undefined,
  request_malformed: 'malformed',
  path_ambiguous: undefined,
  host_ambiguous: undefined,
  header_ambiguous: 'conflict',
  upgrade_refused: undefined,
  no_binding: undefined,
  caller_not_allowed: 'not_allowed',
  evidence_conflict: 'conflict',
  workload_evidence_invalid: 'malformed',
  credentials_conflict: 'conflict',
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
  dpop_proof_invalid: 'binding',
  token_revoked: 'revoked',
  identity_revoked: 'revoked',
  device_assertion_invalid: 'malformed',
  attribute_unavailable: undefined,
  attribute_refused: undefined,
  state_unavailable: undefined,
  policies_unavailable: undefined,
  engine_fault: undefined,
  audit_unavailable: undefined,
  deadline_exceeded: undefined,
  cancelled: undefined,
  overloaded: undefined,
  internal: undefined,
} as const satisfies Record<DenyReason, EvidenceCause | undefined>;

/** What a reason says is wrong with evidence; `undefined` where it says nothing about any. */
export function causeOf(reason: DenyReason): EvidenceCause | undefined {
  return CAUSE[reason];
}

/** A refusal of evidence together with what it is about, and what was proven before; it has a cause, unless it is a fault of ours. */
export function refuseEvidence(refusal: Refusal, refused: RefusedEvidence): Refusal {
  const { refusal: reason, detail, evidence } = refusal;
  const cause = refusal.cause ?? causeOf(reason);
  const about = { ...(evidence !== undefined && { evidence }), ...(cause && { cause }) };
  return new Refusal(reason, detail, about, refused);
}

/** The refusal of somebody who has been revoked, together with all that was proven: that they are who they say was never in doubt. */
export function refuseRevoked(refusal: Refusal, identities: Identities): Refusal {
  const tokenState = refusal.refusal === 'token_revoked' ? 'invalid' : identities.tokenState;
  const { kind = 'workload' } = refusal.refused ?? {};
  return refuseEvidence(refusal, { kind, proven: { ...identities, tokenState } });
}

/** The state of a token that was refused: `unverifiable` is one that we could not check, which says nothing about the token. */
export function refusedTokenState({ refusal }: Refusal): TokenState {
  return refusal === 'token_unverifiable' || FAULT_REASONS.has(refusal) ? 'unverifiable' : 'invalid';
}

/** What a deny was about, as metrics, log lines and records name it. */
export interface EvidenceProblem {
  /** `caller`: who asks us may not. */
  readonly kind: RefusedEvidence['kind'] | 'caller';
  readonly cause: EvidenceCause;
}

/** What was wrong with whose evidence; `undefined` where the decision is none about evidence. */
export function evidenceProblem({ decision, refused }: DecisionTrace): EvidenceProblem | undefined {
  if (decision.verdict === 'permit') return undefined;
  const { reason, cause = causeOf(reason) } = decision;
  const kind = reason === 'caller_not_allowed' ? 'caller' : refused?.kind;
  return kind && cause && { kind, cause };
}
