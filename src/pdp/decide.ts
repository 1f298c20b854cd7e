import { type CanonicalOptions, canonicalise } from './canonical.ts';
import { type Deny, type Refusal, denyFor, isRefusal, refuse } from './decision.ts';
import { messageOf } from './errors.ts';
import { type MaybePromise, andThen } from './maybe-promise.ts';
import type { AttributeSource, Clock, Observer, PolicySnapshotSource, Recorder } from './ports.ts';
import type { PolicySnapshot } from './policy-snapshot.ts';
import type { QuestionFingerprint, Recalled, RecentAnswer, RecentAnswers } from './recent-answers.ts';
import { type Authenticators, createAuthenticate } from './stages/authenticate.ts';
import { type Concluding, createConclude } from './stages/conclude.ts';
import { type Evaluating, createEvaluate } from './stages/evaluate.ts';
import { createGather } from './stages/gather.ts';
import type { Asked, DecisionTrace, Envelope, Informed, Received } from './trace.ts';
import { type Arrival, type Completion, type Stages, Walk, isHttp } from './walk.ts';

/** What a decision point is made of. */
export interface DecisionPointParts
  extends Authenticators, CanonicalOptions, Omit<Evaluating, 'clock'>, Concluding {
  readonly clock: Clock;
  readonly snapshots: PolicySnapshotSource;
  readonly sources: readonly AttributeSource[];
  readonly recorder: Recorder;
  readonly observer: Observer;
  /** Absent: every question is worked out anew. */
  readonly recentAnswers?: RecentAnswers;
}

/** One check as a protocol hands it over. */
export interface Incoming extends Arrival {
  /** The snapshot to decide by; absent: the one in force when `gather` begins. */
  readonly snapshot?: PolicySnapshot | undefined;
  readonly complete?: Completion;
  /** What tells this question from others, where the protocol has such a thing: equal ones are the same question. */
  readonly fingerprint?: QuestionFingerprint | undefined;
  /** What {@link DecisionPoint.recall} gave for the fingerprint; `question` is then its request. */
  readonly recalled?: Recalled | undefined;
}

/** Decides and records; everything between a protocol's `decode` and `encode`. */
export interface DecisionPoint {
  /** Answers one check. Never rejects: every fault is a deny with its reason. The record is safe when it resolves. */
  decide(incoming: Incoming): Promise<DecisionTrace>;
  /**
   * Answers a check that is turned away before anybody looks at its question: records `decision`, and does nothing else. It never rejects; without a
   * record it is denied as `audit_unavailable`. Who answers many of them gives the same `decision` each time.
   */
  turnAway(envelope: Envelope, decision: Deny): Promise<DecisionTrace>;
  /** What is remembered of a question with this fingerprint: it need not be decoded again. */
  recall(fingerprint: QuestionFingerprint): RecentAnswer | undefined;
}

/** Makes a decision point. */
export function createDecisionPoint(parts: DecisionPointParts): DecisionPoint {
  const stages = {
    authenticate: createAuthenticate(parts),
    gather: createGather(parts),
    evaluate: createEvaluate(parts),
    conclude: createConclude(parts),
  };
  return {
    recall: (fingerprint) => parts.recentAnswers?.get(fingerprint),
    turnAway: (envelope, decision) => turnAway(envelope, decision, parts),
    async decide(incoming) {
      const { fingerprint } = incoming;
      const reached = answered(incoming, parts, stages);
      const { walk, answer } = reached instanceof Promise ? await reached : reached;
      const trace = walk.complete(answer, incoming.complete);
      const recorded = await walk.record(trace, parts.recorder);
      tell(parts.observer, recorded);
      if (fingerprint !== undefined && !trace.recent) parts.recentAnswers?.set(fingerprint, recorded);
      return recorded;
    },
  };
}

/** No walk through the stages: this is what is done when there is no time, and must cost a fraction of an answer. */
async function turnAway(
  envelope: Envelope,
  decision: Deny,
  { recorder, observer, clock }: DecisionPointParts,
): Promise<DecisionTrace> {
  const latencyUs = (clock.monotonic() - envelope.startedAt) * 1000;
  const trace = { ...envelope, decision, turnedAway: true, stage: 'decode', timings: {}, latencyUs } as const;
  try {
    await recorder.record(trace);
  } catch (error) {
    const unrecorded = denyFor(refuse('audit_unavailable', messageOf(error)));
    return told({ ...trace, decision: unrecorded, stage: 'record' }, observer);
  }
  return told(trace, observer);
}

function told(trace: DecisionTrace, observer: Observer): DecisionTrace {
  try {
    observer.turnedAway?.(trace);
  } catch {
    // As of `checked`.
  }
  return trace;
}

interface Answered {
  readonly walk: Walk;
  readonly answer: DecisionTrace;
}

/** Takes a question through the stages up to its answer, by an earlier one where that is good still. */
function answered(incoming: Incoming, parts: DecisionPointParts, stages: Stages): MaybePromise<Answered> {
  const walk = new Walk(incoming, parts.clock);
  const received = walk.through('decode', incoming.envelope, (envelope) =>
    receive(envelope, incoming, parts),
  );
  const authenticated = andThen(received, (value) =>
    walk.through('authenticate', value, stages.authenticate),
  );
  const informed = andThen(authenticated, (value) =>
    walk.through('gather', value, (known) => {
      const snapshot = walk.under(incoming.snapshot ?? parts.snapshots.current());
      return stages.gather(known, incoming.scope, snapshot);
    }),
  );
  return andThen(informed, (value) => judged(value, walk, incoming, parts, stages));
}

/** The answer that was given before, where it is good still; else what evaluating comes to. */
function judged(
  informed: Informed | Refusal,
  walk: Walk,
  incoming: Incoming,
  parts: DecisionPointParts,
  stages: Stages,
): MaybePromise<Answered> {
  const { recalled } = incoming;
  // No later stage reads header fields; and what is evaluated is remembered by the id of this decision.
  if (recalled?.answer.request.http.headers.lacked)
    return answered(readAnew(incoming, recalled, parts.recentAnswers), parts, stages);
  const reused = walk.reuse(informed, recalled?.answer, parts.revocations);
  if (reused) return { walk, answer: reused };
  return walk.evaluate(informed, stages).then((answer) => ({ walk, answer }));
}

/** The question as it was asked this time, for somebody has read what is not known of the earlier one. */
function readAnew(
  { recalled: _moot, ...incoming }: Incoming,
  recalled: Recalled,
  remembered: RecentAnswers | undefined,
): Incoming {
  if (incoming.fingerprint !== undefined) remembered?.forget(incoming.fingerprint);
  return { ...incoming, question: recalled.decode() };
}

/** The answer is made and recorded by now: an observer that fails, against its contract, must not take it away. */
function tell(observer: Observer, trace: DecisionTrace): void {
  try {
    observer.checked(trace);
  } catch {
    // Nobody is left to tell.
  }
}

function receive(
  envelope: Envelope,
  { question, recalled }: Incoming,
  options: CanonicalOptions,
): Received | Asked | Refusal {
  if (recalled)
    return { ...envelope, request: recalled.answer.request, canonical: recalled.answer.canonical };
  if (isRefusal(question)) return question;
  if (!isHttp(question)) return { ...envelope, asked: question };
  const canonical = canonicalise(question, options);
  return isRefusal(canonical) ? canonical : { ...envelope, request: question, canonical };
}
