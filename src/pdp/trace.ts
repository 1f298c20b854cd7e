import type { AccessRequest, Pep, Surface, TraceContext } from './access-request.ts';
import type { AttributeFact, AttributeOmission, LeftOutAttributes } from './attribute.ts';
import type { BindingMatch } from './bindings/binding.ts';
import type { CanonicalRequest } from './canonical.ts';
import type { Decision } from './decision.ts';
import type { EntityQuestion } from './entity-question.ts';
import type { CedarRequest, Evaluation } from './evaluation.ts';
import type { Identities, RefusedEvidence } from './identity.ts';
import type { PolicySnapshot } from './policy-snapshot.ts';
import type { RecentAnswer } from './recent-answers.ts';

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
  /** Id of the batch that it came in. */
  readonly batch?: string;
  /** An explanation was asked for: the check is never answered from the cache, and nobody acts on it. */
  readonly explained?: true;
}

/** After `decode`, of a question about an HTTP request: a well-formed one with one canonical reading. */
export interface Received extends Envelope {
  readonly request: AccessRequest;
  readonly canonical: CanonicalRequest;
  readonly asked?: never;
}

/** After `decode`, of a question about entities. Nothing in it needs a canonical reading: names of entities have one spelling. */
export interface Asked extends Envelope {
  readonly asked: EntityQuestion;
  readonly request?: never;
  readonly canonical?: never;
}

/** What `authenticate` adds. */
export interface Authentication {
  readonly identities: Identities;
}

/** After `authenticate`. */
export type Authenticated = (Received | Asked) & Authentication;

/** What `gather` adds. */
export interface Information {
  readonly facts: readonly AttributeFact[];
  readonly omissions: readonly AttributeOmission[];
  /** Unix ms until which it holds that quiet sources do not know the subjects. */
  readonly silentUntil: number;
  readonly snapshot: PolicySnapshot;
  /** The binding that the request met; absent: the default binding. */
  readonly route?: BindingMatch;
}

/** After `gather`. */
export type Informed = Authenticated & Information;

/** What `bind` adds. */
export interface Terms {
  readonly cedar: CedarRequest;
  /** Unix ms at which the first of the inputs goes stale. */
  readonly inputsValidUntil: number;
  /** What of the device's asserted posture is not used. */
  readonly postureLeftOut?: LeftOutAttributes;
}

/** After `bind`. */
export type Bound = Informed & Terms;

/** Where an evaluation came from. */
export type CacheProvenance =
  | { readonly hit: false; readonly like?: string }
  | { readonly hit: true; readonly of: string; readonly ageMs: number };

/** What `evaluate` adds. */
export interface Answered {
  readonly evaluation: Evaluation;
  readonly cache: CacheProvenance;
}

/** After `evaluate`. */
export type Evaluated = Bound & Answered;

/** What is known of a check at any point of its way. */
export interface Reached
  extends
    Envelope,
    Partial<Authentication>,
    Partial<Information>,
    Partial<Terms>,
    Partial<Answered>,
    Partial<Pick<Received, 'request' | 'canonical'>>,
    Partial<Pick<Asked, 'asked'>> {}

/**
 * All that is known of a check when it is recorded: the envelope and the decision always, the rest as far as the check came.
 * `request` may be there without `canonical`, where canonicalising refused it.
 */
export interface DecisionTrace extends Reached {
  readonly decision: Decision;
  /** Present where evidence was refused. There are no `identities` then, unless it was revoked while information points were asked. */
  readonly refused?: RefusedEvidence;
  /** False where nobody acts on the decision: it was made in shadow. Absent: it is what was answered. */
  readonly enforced?: false;
  /** Id of the decision that was answered, where this one was made in shadow beside it. */
  readonly shadowOf?: string;
  /** The earlier answer that this one is, for who has prepared something of it. */
  readonly recent?: RecentAnswer;
  /** Answered without a look at the question: there were too many. */
  readonly turnedAway?: true;
  /** The last stage that ran before the decision was concluded. */
  readonly stage: Stage;
  /** Microseconds by stage, as far as measured. */
  readonly timings: Readonly<Partial<Record<Stage, number>>>;
  /** Microseconds from arrival to conclusion. */
  readonly latencyUs: number;
}
