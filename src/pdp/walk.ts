import type { AccessRequest } from './access-request.ts';
import type { CallScope } from './call-scope.ts';
import { type Decision, type Refusal, denyFor, isRefusal, refuse } from './decision.ts';
import type { EntityQuestion } from './entity-question.ts';
import { messageOf, refusalOf } from './errors.ts';
import { type MaybePromise, andThen } from './maybe-promise.ts';
import type { PolicySnapshot } from './policy-snapshot.ts';
import type { Clock, Recorder, Revocations } from './ports.ts';
import type { RecentAnswer } from './recent-answers.ts';
import { again, restsOnTheSame } from './same-question.ts';
import type { createAuthenticate } from './stages/authenticate.ts';
import { bind } from './stages/bind.ts';
import type { createConclude } from './stages/conclude.ts';
import type { createEvaluate } from './stages/evaluate.ts';
import type { createGather } from './stages/gather.ts';
import type { DecisionTrace, Envelope, Evaluated, Informed, Reached, Stage } from './trace.ts';

/** One check as it arrives. */
export interface Arrival {
  readonly envelope: Envelope;
  /** The decoded question, or why it could not be decoded. */
  readonly question: AccessRequest | EntityQuestion | Refusal;
  readonly scope: CallScope;
  /** Microseconds that decoding took. */
  readonly decodeUs: number;
}

/** What a protocol has to make of a permit before it can be answered. A refusal makes a deny of it, which is then what is recorded. */
export type Completion = (permitted: DecisionTrace) => Refusal | undefined;

/** The stages of every check, but for those of protocols and of the log. */
export interface Stages {
  readonly authenticate: ReturnType<typeof createAuthenticate>;
  readonly gather: ReturnType<typeof createGather>;
  readonly evaluate: ReturnType<typeof createEvaluate>;
  readonly conclude: ReturnType<typeof createConclude>;
}

/** One check on its way through the stages: what is known so far, and how long each stage took. */
export class Walk {
  readonly #clock: Clock;
  readonly #scope: CallScope;
  readonly #timings: Partial<Record<Stage, number>>;
  #reached: Reached;
  #stage: Stage = 'decode';

  constructor({ envelope, question, scope, decodeUs }: Arrival, clock: Clock) {
    this.#clock = clock;
    this.#scope = scope;
    this.#timings = { decode: decodeUs };
    this.#reached = begun(envelope, question);
  }

  /** Runs a stage on the value of the one before, without waiting where there is nothing to wait for. A refusal passes through; a fault becomes one. */
  through<In extends Envelope, Out extends In>(
    stage: Stage,
    input: In | Refusal,
    run: (value: In) => MaybePromise<Out | Refusal>,
  ): MaybePromise<Out | Refusal> {
    if (isRefusal(input)) return input;
    const interruption = this.#scope.interruption();
    if (interruption) return interruption;
    this.#stage = stage;
    const started = this.#clock.monotonic();
    return andThen(settle(run, input), (output) => {
      this.#time(stage, started);
      if (!isRefusal(output)) this.#reached = output;
      return output;
    });
  }

  /** Notes the snapshot, so that also what `gather` refuses says under which policies. */
  under(snapshot: PolicySnapshot | undefined): PolicySnapshot | undefined {
    if (snapshot) this.#reached = { ...this.#reached, snapshot };
    return snapshot;
  }

  /** The answer of the same question, where everything that it rests on is the same still. */
  reuse(
    informed: Informed | Refusal,
    recent: RecentAnswer | undefined,
    revocations: Revocations,
  ): DecisionTrace | undefined {
    if (!recent || isRefusal(informed) || this.#scope.interruption()) return undefined;
    const started = this.#clock.monotonic();
    const now = this.#clock.now();
    if (!restsOnTheSame(recent, informed, now) || !revocations.isCurrent()) return undefined;
    if (revocations.refusal(informed)) return undefined;
    this.#time('evaluate', started);
    return {
      ...again(recent, informed, now),
      stage: 'evaluate',
      timings: this.#timings,
      latencyUs: (this.#clock.monotonic() - informed.startedAt) * 1000,
    };
  }

  /** Binds, evaluates and concludes. */
  async evaluate(informed: Informed | Refusal, stages: Stages): Promise<DecisionTrace> {
    const bound = await this.through('bind', informed, bind);
    const evaluated = await this.through('evaluate', bound, stages.evaluate);
    return this.conclude(evaluated, stages.conclude);
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
  complete(trace: DecisionTrace, run: Completion | undefined): DecisionTrace {
    if (!run || trace.decision.verdict !== 'permit') return trace;
    const started = this.#clock.monotonic();
    let refusal: Refusal | undefined;
    try {
      refusal = run(trace);
    } catch (error) {
      refusal = refusalOf(error);
    }
    this.#time('conclude', started);
    return refusal ? otherwise(trace, denyFor(refusal, trace.decision.snapshot)) : trace;
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
      return { ...otherwise(trace, denyFor(refusal, trace.decision.snapshot)), stage: 'record' };
    } finally {
      this.#time('record', started);
    }
  }

  #time(stage: Stage, started: number): void {
    this.#timings[stage] = (this.#timings[stage] ?? 0) + (this.#clock.monotonic() - started) * 1000;
  }
}

/** Decided otherwise after all: it is not the earlier answer then. */
function otherwise({ recent: _other, ...trace }: DecisionTrace, decision: Decision): DecisionTrace {
  return { ...trace, decision };
}

function settle<In, Out>(
  run: (value: In) => MaybePromise<Out | Refusal>,
  input: In,
): MaybePromise<Out | Refusal> {
  try {
    const output = run(input);
    return output instanceof Promise ? output.catch(refusalOf) : output;
  } catch (error) {
    return refusalOf(error);
  }
}

function begun(envelope: Envelope, question: AccessRequest | EntityQuestion | Refusal): Reached {
  if (isRefusal(question)) return envelope;
  return isHttp(question) ? { ...envelope, request: question } : { ...envelope, asked: question };
}

/** Whether a question is about an HTTP request. */
export function isHttp(question: AccessRequest | EntityQuestion): question is AccessRequest {
  return 'http' in question;
}
