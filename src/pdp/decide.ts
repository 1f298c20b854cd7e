import type { CallScope } from './call-scope.ts';
import { type CanonicalOptions, canonicalise } from './canonical.ts';
import type { AccessRequest } from './access-request.ts';
import { type Decision, type Refusal, denyFor, isRefusal, refuse } from './decision.ts';
import type { EntityQuestion } from './entity-question.ts';
import { messageOf, refusalOf } from './errors.ts';
import type { AttributeSource, Clock, Observer, PolicySnapshotSource, Recorder } from './ports.ts';
import { type Authenticators, createAuthenticate } from './stages/authenticate.ts';
import { bind } from './stages/bind.ts';
import { type Concluding, createConclude } from './stages/conclude.ts';
import { type Evaluating, createEvaluate } from './stages/evaluate.ts';
import { createGather } from './stages/gather.ts';
import type { PolicySnapshot } from './policy-snapshot.ts';
import type { Asked, DecisionTrace, Envelope, Evaluated, Reached, Received, Stage } from './trace.ts';

/** What a decision point is made of. */
export interface DecisionPointParts
  extends Authenticators, CanonicalOptions, Omit<Evaluating, 'clock'>, Concluding {
  readonly clock: Clock;
  readonly snapshots: PolicySnapshotSource;
  readonly sources: readonly AttributeSource[];
  readonly recorder: Recorder;
  readonly observer: Observer;
}

/** One check as a protocol hands it over. */
export interface Incoming {
  readonly envelope: Envelope;
  /** The decoded question, or why it could not be decoded. */
  readonly question: AccessRequest | EntityQuestion | Refusal;
  /** The snapshot to decide by; absent: the one in force when `gather` begins. */
  readonly snapshot?: PolicySnapshot | undefined;
  readonly scope: CallScope;
  /** Microseconds that decoding took. */
  readonly decodeUs: number;
  /**
   * What the protocol has to make of a permit before it can be answered. A refusal makes a deny of it, which is then what is
   * recorded.
   */
  readonly complete?: (permitted: DecisionTrace) => Refusal | undefined;
}

/** Decides and records; everything between a protocol's `decode` and `encode`. */
export interface DecisionPoint {
  /** Answers one check. Never rejects: every fault is a deny with its reason. The record is safe when it resolves. */
  decide(incoming: Incoming): Promise<DecisionTrace>;
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
    async decide(incoming) {
      const walk = new Walk(incoming, parts.clock);
      const received = await walk.through('decode', incoming.envelope, (envelope) =>
        receive(envelope, incoming.question, parts),
      );
      const authenticated = await walk.through('authenticate', received, stages.authenticate);
      const informed = await walk.through('gather', authenticated, (value) => {
        const snapshot = walk.under(incoming.snapshot ?? parts.snapshots.current());
        return stages.gather(value, incoming.scope, snapshot);
      });
      const bound = await walk.through('bind', informed, bind);
      const evaluated = await walk.through('evaluate', bound, stages.evaluate);
      const trace = walk.complete(walk.conclude(evaluated, stages.conclude), incoming.complete);
      const recorded = await walk.record(trace, parts.recorder);
      tell(parts.observer, recorded);
      return recorded;
    },
  };
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
  question: AccessRequest | EntityQuestion | Refusal,
  options: CanonicalOptions,
): Received | Asked | Refusal {
  if (isRefusal(question)) return question;
  if (!isHttp(question)) return { ...envelope, asked: question };
  const canonical = canonicalise(question, options);
  return isRefusal(canonical) ? canonical : { ...envelope, request: question, canonical };
}

function isHttp(question: AccessRequest | EntityQuestion): question is AccessRequest {
  return 'http' in question;
}

function begun(envelope: Envelope, question: AccessRequest | EntityQuestion | Refusal): Reached {
  if (isRefusal(question)) return envelope;
  return isHttp(question) ? { ...envelope, request: question } : { ...envelope, asked: question };
}

/** One check on its way through the stages: what is known so far, and how long each stage took. */
class Walk {
  readonly #clock: Clock;
  readonly #scope: CallScope;
  readonly #timings: Partial<Record<Stage, number>>;
  #reached: Reached;
  #stage: Stage = 'decode';

  constructor({ envelope, question, scope, decodeUs }: Incoming, clock: Clock) {
    this.#clock = clock;
    this.#scope = scope;
    this.#timings = { decode: decodeUs };
    this.#reached = begun(envelope, question);
  }

  /** Runs a stage on the value of the one before. A refusal passes through; a fault becomes one. */
  async through<In extends Envelope, Out extends In>(
    stage: Stage,
    input: In | Refusal,
    run: (value: In) => Out | Refusal | Promise<Out | Refusal>,
  ): Promise<Out | Refusal> {
    if (isRefusal(input)) return input;
    const interruption = this.#scope.interruption();
    if (interruption) return interruption;
    this.#stage = stage;
    const started = this.#clock.monotonic();
    const output = await settle(() => run(input));
    this.#time(stage, started);
    if (!isRefusal(output)) this.#reached = output;
    return output;
  }

  /** Notes the snapshot, so that also what `gather` refuses says under which policies. */
  under(snapshot: PolicySnapshot | undefined): PolicySnapshot | undefined {
    if (snapshot) this.#reached = { ...this.#reached, snapshot };
    return snapshot;
  }

  /** Ends the way: the decision of a finished walk, or the deny of a refusal. */
  conclude(evaluated: Evaluated | Refusal, run: (value: Evaluated) => Decision): DecisionTrace {
    const started = this.#clock.monotonic();
    const interruption = this.#scope.interruption();
    let decision: Decision;
    if (isRefusal(evaluated)) decision = denyFor(evaluated, this.#reached.snapshot?.digest);
    else if (interruption) decision = denyFor(interruption, evaluated.snapshot.digest);
    else decision = this.#concluded(evaluated, run);
    this.#time('conclude', started);
    const latencyUs = (this.#clock.monotonic() - this.#reached.startedAt) * 1000;
    const explained = this.#reached.explained && ({ enforced: false } as const);
    return {
      ...this.#reached,
      ...explained,
      ...(isRefusal(evaluated) && evaluated.refused && { refused: evaluated.refused }),
      decision,
      stage: this.#stage,
      timings: this.#timings,
      latencyUs,
    };
  }

  /** Has the protocol complete a permit. */
  complete(trace: DecisionTrace, run: Incoming['complete']): DecisionTrace {
    if (!run || trace.decision.verdict !== 'permit') return trace;
    const started = this.#clock.monotonic();
    let refusal: Refusal | undefined;
    try {
      refusal = run(trace);
    } catch (error) {
      refusal = refusalOf(error);
    }
    this.#time('conclude', started);
    return refusal ? { ...trace, decision: denyFor(refusal, trace.decision.snapshot) } : trace;
  }

  #concluded(evaluated: Evaluated, run: (value: Evaluated) => Decision): Decision {
    try {
      return run(evaluated);
    } catch (error) {
      return denyFor(refusalOf(error), evaluated.snapshot.digest);
    }
  }

  /** Records the trace. That is not tied to the call any more, so a cancelled one is recorded too. No record, no permit. */
  async record(trace: DecisionTrace, recorder: Recorder): Promise<DecisionTrace> {
    const started = this.#clock.monotonic();
    try {
      await recorder.record(trace);
      return trace;
    } catch (error) {
      const refusal = refuse('audit_unavailable', messageOf(error));
      const decision = denyFor(refusal, trace.decision.snapshot);
      return { ...trace, stage: 'record', decision };
    } finally {
      this.#time('record', started);
    }
  }

  #time(stage: Stage, started: number): void {
    this.#timings[stage] = (this.#timings[stage] ?? 0) + (this.#clock.monotonic() - started) * 1000;
  }
}

async function settle<T extends object>(run: () => T | Refusal | Promise<T | Refusal>): Promise<T | Refusal> {
  try {
    return await run();
  } catch (error) {
    return refusalOf(error);
  }
}
