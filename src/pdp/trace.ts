import type { AccessRequest, Pep, Surface, TraceContext } from './access-request.ts';
import type { AttributeFact, AttributeOmission } from './attribute.ts';
import type { BindingMatch } from './bindings/binding.ts';
import type { CanonicalRequest } from './canonical.ts';
import type { Decision } from './decision.ts';
import type { CedarRequest, Evaluation } from './evaluation.ts';
import type { Identities } from './identity.ts';
import type { PolicySnapshot } from './policy-snapshot.ts';

/** The stages of a check, in order. */
export const STAGES = [
  'decode',
  'authenticate',
  'gather',
  'bind',
  'evaluate',
  'conclude',
  'record',
  'encode',
] as const;

/** A stage of a check. */
export type Stage = (typeof STAGES)[number];

/** What every check has from its first instant, whatever becomes of it. */
export interface Envelope {
  /** UUIDv7; the decision id. */
  readonly id: string;
  readonly surface: Surface;
  readonly pep: Pep;
  /** Unix ms at which the check arrived: the clock that policies and token checks see. */
  readonly receivedAt: number;
  /** Monotonic ms at arrival. */
  readonly startedAt: number;
  readonly trace?: TraceContext;
  /** `x-request-id` as sent, capped. */
  readonly requestId?: string;
}

/** After `decode`: a well-formed question with one canonical reading. */
export interface Received extends Envelope {
  readonly request: AccessRequest;
  readonly canonical: CanonicalRequest;
}

/** After `authenticate`. */
export interface Authenticated extends Received {
  readonly identities: Identities;
}

/** After `gather`. */
export interface Informed extends Authenticated {
  readonly facts: readonly AttributeFact[];
  readonly omissions: readonly AttributeOmission[];
  readonly snapshot: PolicySnapshot;
  /** The binding that the request met; absent: the default binding. */
  readonly route?: BindingMatch;
}

/** After `bind`. */
export interface Bound extends Informed {
  readonly cedar: CedarRequest;
  /** Unix ms at which the first of the inputs goes stale. */
  readonly inputsValidUntil: number;
}

/** Where an evaluation came from. */
export type CacheProvenance =
  { readonly hit: false } | { readonly hit: true; readonly of: string; readonly ageMs: number };

/** After `evaluate`. */
export interface Evaluated extends Bound {
  readonly evaluation: Evaluation;
  readonly cache: CacheProvenance;
}

/**
 * All that is known of a check when it is recorded: the envelope and the decision always, the rest as far as the check came.
 * `request` may be there without `canonical`, where canonicalising refused it.
 */
export interface DecisionTrace extends Envelope, Partial<Omit<Evaluated, keyof Envelope>> {
  readonly decision: Decision;
  /** False where nobody acts on the decision: it was made in shadow. Absent: it is what was answered. */
  readonly enforced?: false;
  /** Id of the decision that was answered, where this one was made in shadow beside it. */
  readonly shadowOf?: string;
  /** The last stage that ran before the decision was concluded. */
  readonly stage: Stage;
  /** Microseconds by stage, as far as measured. */
  readonly timings: Readonly<Partial<Record<Stage, number>>>;
  /** Microseconds from arrival to conclusion. */
  readonly latencyUs: number;
}
