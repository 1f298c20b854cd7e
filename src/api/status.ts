import { type Decision, type DenyReason, letsThrough } from '../pdp/decision.ts';

/** How a deny looks on the wire. */
export interface WireStatus {
  /** google.rpc.Code, for RPCs of our own. ext_authz always says PERMISSION_DENIED: see `encode.ts`. */
  readonly grpc: number;
  readonly http: number;
  /** Public words: nothing about policies, parties or internals. */
  readonly message: string;
  /** RFC 6750 / RFC 9470 error code for `WWW-Authenticate`; '' is a challenge without one (no credentials were sent). */
  readonly challenge?:
    '' | 'invalid_token' | 'invalid_request' | 'insufficient_user_authentication' | 'invalid_dpop_proof';
}

const UNAUTHENTICATED = 16;
const PERMISSION_DENIED = 7;
const INVALID_ARGUMENT = 3;
const UNAVAILABLE = 14;
const DEADLINE_EXCEEDED = 4;
const CANCELLED = 1;
const RESOURCE_EXHAUSTED = 8;
const INTERNAL = 13;

const badToken = (message: string): WireStatus => ({
  grpc: UNAUTHENTICATED,
  http: 401,
  message,
  challenge: 'invalid_token',
});
const forbidden = (message: string): WireStatus => ({ grpc: PERMISSION_DENIED, http: 403, message });
const malformed = (message: string): WireStatus => ({ grpc: INVALID_ARGUMENT, http: 400, message });
const unavailable = (grpc = UNAVAILABLE): WireStatus => ({
  grpc,
  http: 503,
  message: 'no decision could be made; try again later',
});

/**
 * THE table: how each reason for a deny is told to the outside. A new reason does not compile before it has a row. The reason
 * itself is the metric label.
 */
export const STATUS = {
  no_permit: forbidden('access denied'),
  policy_forbids: forbidden('access denied'),
  step_up_required: {
    grpc: UNAUTHENTICATED,
    http: 401,
    message: 'a stronger authentication is required',
    challenge: 'insufficient_user_authentication',
  },
  authentication_required: {
    grpc: UNAUTHENTICATED,
    http: 401,
    message: 'authentication is required',
    challenge: '',
  },
  policy_error: forbidden('access denied'),
  request_malformed: malformed('the request is malformed'),
  path_ambiguous: malformed('the path can be read in more than one way'),
  host_ambiguous: malformed('the host can be read in more than one way'),
  header_ambiguous: malformed('the header fields can be read in more than one way'),
  upgrade_refused: forbidden('the connection upgrade is not accepted here'),
  no_binding: forbidden('access denied'),
  caller_not_allowed: forbidden('access denied'),
  evidence_conflict: forbidden('the evidence of identity is contradictory'),
  workload_evidence_invalid: forbidden('the evidence of identity is not accepted'),
  credentials_conflict: { ...malformed('more than one credential was sent'), challenge: 'invalid_request' },
  token_malformed: badToken('the token is malformed'),
  token_issuer_unknown: badToken('the token is not accepted here'),
  token_type_refused: badToken('the token is not accepted here'),
  token_algorithm_refused: badToken('the token is not accepted here'),
  token_key_unknown: badToken('the token cannot be verified'),
  token_signature_invalid: badToken('the token cannot be verified'),
  token_audience_wrong: badToken('the token is not accepted here'),
  token_expired: badToken('the token has expired'),
  token_not_yet_valid: badToken('the token is not valid yet'),
  token_claims_refused: badToken('the token is not accepted here'),
  token_unverifiable: badToken('the token cannot be verified'),
  token_binding_failed: badToken('the token is not bound to this sender'),
  dpop_proof_invalid: {
    ...badToken('the proof of possession is not accepted'),
    challenge: 'invalid_dpop_proof',
  },
  token_revoked: badToken('the token is not accepted any more'),
  identity_revoked: forbidden('access denied'),
  device_assertion_invalid: forbidden('the device assertion is not accepted'),
  attribute_unavailable: unavailable(),
  attribute_refused: forbidden('access denied'),
  state_unavailable: unavailable(),
  policies_unavailable: unavailable(),
  engine_fault: unavailable(INTERNAL),
  audit_unavailable: unavailable(),
  deadline_exceeded: unavailable(DEADLINE_EXCEEDED),
  cancelled: unavailable(CANCELLED),
  overloaded: unavailable(RESOURCE_EXHAUSTED),
  internal: unavailable(INTERNAL),
} as const satisfies Record<DenyReason, WireStatus>;

/** The HTTP status that a decision is told with; 200 where the request is let through, which the PEP never shows. */
export function httpStatusOf(decision: Decision): number {
  return decision.verdict === 'permit' || letsThrough(decision) ? 200 : STATUS[decision.reason].http;
}
