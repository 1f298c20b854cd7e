import type { RefusedEvidence } from './identity.ts';

/**
 * Why a check was denied: a closed union. A new reason does not compile until `api/status.ts` gives it a gRPC code, an HTTP
 * status and a public message.
 */
export const DENY_REASONS = [
  // Cedar decided
  'no_permit',
  'policy_forbids',
  'step_up_required',
  'authentication_required',
  'policy_error',
  // the question itself
  'request_malformed',
  'path_ambiguous',
  'host_ambiguous',
  'header_ambiguous',
  'upgrade_refused',
  'no_binding',
  // who asks
  'caller_not_allowed',
  'evidence_conflict',
  'workload_evidence_invalid',
  'credentials_conflict',
  'token_malformed',
  'token_issuer_unknown',
  'token_type_refused',
  'token_algorithm_refused',
  'token_key_unknown',
  'token_signature_invalid',
  'token_audience_wrong',
  'token_expired',
  'token_not_yet_valid',
  'token_claims_refused',
  'token_unverifiable',
  'token_binding_failed',
  'dpop_proof_invalid',
  'token_revoked',
  'identity_revoked',
  'device_assertion_invalid',
  // facts and faults
  'attribute_unavailable',
  'attribute_refused',
  'state_unavailable',
  'policies_unavailable',
  'engine_fault',
  'audit_unavailable',
  'deadline_exceeded',
  'cancelled',
  'overloaded',
  'internal',
] as const;

/** A reason for a deny. */
export type DenyReason = (typeof DENY_REASONS)[number];

/** Reasons that are faults of ours rather than answers to the question. */
export const FAULT_REASONS: ReadonlySet<Reason> = new Set<Reason>([
  'attribute_unavailable',
  'state_unavailable',
  'policies_unavailable',
  'engine_fault',
  'audit_unavailable',
  'deadline_exceeded',
  'cancelled',
  'overloaded',
  'internal',
]);

/** The one reason for a permit. */
export const PERMIT_REASON = 'permitted';

/** Why a decision came out as it did. */
export type Reason = DenyReason | typeof PERMIT_REASON;

/** Which of the things that an operator would look at is wrong with evidence that was refused: a label of metrics and log lines. */
export type EvidenceCause =
  | 'malformed'
  | 'spiffe_id'
  | 'trust_domain'
  | 'expired'
  | 'not_yet_valid'
  | 'key_usage'
  | 'chain'
  | 'hops'
  | 'issuer'
  | 'audience'
  | 'type'
  | 'algorithm'
  | 'key'
  | 'signature'
  | 'claims'
  | 'binding'
  | 'revoked'
  | 'age'
  | 'conflict'
  | 'missing'
  | 'not_allowed'
  | 'unavailable';

/** What a refusal is about, beside its reason. */
export interface RefusalAbout {
  /** Fingerprint (`sha256:<base64url>`) of the evidence that was refused, so that it can be found again; never the evidence. */
  readonly evidence?: string;
  /** Where one reason stands for several things that may be wrong with evidence: which one. */
  readonly cause?: EvidenceCause;
}

/** A refusal by a stage before or after Cedar. Only what {@link refuse} made is one. */
export class Refusal {
  // A record from outside may well have a member named `refusal`; it has none of this name.
  readonly #isOurs = true;
  readonly refusal: DenyReason;
  /** For operators and records; it never reaches the client. */
  readonly detail: string | undefined;
  readonly evidence: string | undefined;
  readonly cause: EvidenceCause | undefined;
  /** Of a refusal of evidence: for traces, records and metrics. */
  readonly refused: RefusedEvidence | undefined;

  constructor(
    refusal: DenyReason,
    detail?: string,
    { evidence, cause }: RefusalAbout = {},
    refused?: RefusedEvidence,
  ) {
    this.refusal = refusal;
    this.detail = detail;
    this.evidence = evidence;
    this.cause = cause;
    this.refused = refused;
  }

  static is(value: object): value is Refusal {
    return #isOurs in value && value.#isOurs;
  }
}

/** Makes a {@link Refusal}. */
export function refuse(refusal: DenyReason, detail?: string, about?: RefusalAbout): Refusal {
  return new Refusal(refusal, detail, about);
}

/** Tells a refusal from a stage's value, whatever that holds. */
export function isRefusal(value: object): value is Refusal {
  return Refusal.is(value);
}

/** Advice that policies attach to a deny by `@advice`; the wire turns it into a challenge (RFC 6750, RFC 9470). */
export interface Advice {
  /** `authenticate`: send a token; `step_up`: authenticate more strongly. */
  readonly kind: 'authenticate' | 'step_up';
  /** Authentication context classes that would do, from `@acr_values`; space separated. */
  readonly acrValues?: string;
}

/** A header that the PEP sets on the request it lets through. */
export type UpstreamHeader = readonly [name: string, value: string];

interface Concluded {
  /** Headers for the request upstream, by the determining policies. */
  readonly upstreamHeaders?: readonly UpstreamHeader[];
  /** Headers that policies may set and that did not: a client's own copies are not let through. */
  readonly removedHeaders?: readonly string[];
  /** Ids (`@id`) of the policies that determined the decision, sorted. Empty where no policy did. */
  readonly policies: readonly string[];
  /** Digest of the snapshot that decided; absent where none was reached. */
  readonly snapshot?: string;
  /** Unix ms until which the same question has the same answer; absent: not cacheable. */
  readonly cacheableUntil?: number;
}

/** The access is permitted. */
export interface Permit extends Concluded {
  readonly verdict: 'permit';
  readonly reason: typeof PERMIT_REASON;
}

/** The access is denied: the state that every check starts in. */
export interface Deny extends Concluded, RefusalAbout {
  readonly verdict: 'deny';
  readonly reason: DenyReason;
  /** Public words of the determining policies' `@reason`; absent: the reason's own public message. */
  readonly message?: string;
  /** What the operator should know; never sent to the client. */
  readonly detail?: string;
  readonly advice?: Advice;
  /** The route is in observe mode: the deny is recorded, and the request let through. */
  readonly enforced?: false;
}

/** The answer to one check. */
export type Decision = Permit | Deny;

/** Whether the PEP is told to let the request through. */
export function letsThrough(decision: Decision): boolean {
  return decision.verdict === 'permit' || decision.enforced === false;
}

/** A deny that no policy determined. */
export function denyFor(refusal: Refusal, snapshot?: string): Deny {
  return {
    verdict: 'deny',
    reason: refusal.refusal,
    policies: [],
    ...(refusal.detail !== undefined && { detail: refusal.detail }),
    ...(refusal.evidence !== undefined && { evidence: refusal.evidence }),
    ...(refusal.cause !== undefined && { cause: refusal.cause }),
    ...(snapshot !== undefined && { snapshot }),
  };
}
