import type { AttributeAnswer, AttributeFact, AttributeOmission } from './attribute.ts';
import { CallScope } from './call-scope.ts';
import { type Decision, FAULT_REASONS, type Refusal, denyFor, isRefusal } from './decision.ts';
import { decisionId } from './decision-id.ts';
import { messageOf, refusalOf } from './errors.ts';
import { type Evaluator, type EvaluatorParts, createEvaluator } from './evaluator.ts';
import type { Log } from './log.ts';
import type { AttributeSource, PolicySnapshotSource, Recorder } from './ports.ts';
import { ShadowCounts, type ShadowOutcome, type ShadowReport, outcomeOf } from './shadow-report.ts';
import type { Authenticated, DecisionTrace, Stage } from './trace.ts';

/**
 * What shadow evaluation needs. The cache is its own: entries of a candidate would push those of the snapshot in force out of the cache
 * that answers, although keys hold the digest and cannot collide.
 */
export interface ShadowParts extends Omit<EvaluatorParts, 'snapshots'> {
  readonly active: PolicySnapshotSource;
  readonly candidate: PolicySnapshotSource;
  readonly recorder: Recorder;
  readonly log: Log;
  /** Share of the checks that are compared, 0 to 1. */
  readonly sample: number;
  /** Checks that may wait to be compared; more are skipped. Default 1000. */
  readonly maxWaiting?: number;
  /** Told of each comparison. Must not throw. */
  onOutcome(outcome: ShadowOutcome | 'skipped'): void;
}

const MAX_WAITING = 1000;
/** Bounds what an information point that hangs can hold up: only comparisons. */
const TIMEOUT_MS = 1000;

/**
 * Evaluates a candidate snapshot beside the active one, on live checks, after they were answered: it can neither change nor delay an
 * answer. One comparison at a time, each in a turn of the event loop of its own; where more wait than is sensible, they are skipped.
 */
export class Shadow implements AsyncDisposable {
  readonly #parts: ShadowParts;
  readonly #evaluator: Evaluator;
  readonly #waiting: DecisionTrace[] = [];
  #running: Promise<void> | undefined;
  #counts: ShadowCounts;
  /** What was known when the check that is compared was answered. */
  #known: Known = {};
  #scope: CallScope | undefined;
  #complained = false;
  #closed = false;

  constructor(parts: ShadowParts) {
    this.#parts = parts;
    this.#counts = new ShadowCounts(parts.clock.now(), undefined, undefined);
    const sources = parts.sources.map((source) => rememberingSource(source, () => this.#known));
    this.#evaluator = createEvaluator({ ...parts, sources, snapshots: parts.candidate });
  }

  /** Takes note of an answered check; returns at once. */
  observe(trace: DecisionTrace): void {
    const { active, candidate, sample, maxWaiting = MAX_WAITING } = this.#parts;
    const next = candidate.current();
    if (!next || this.#closed || !isComparable(trace) || next.digest === active.current()?.digest) return;
    if (sample < 1 && Math.random() >= sample) return;
    if (this.#waiting.length < maxWaiting) {
      this.#waiting.push(trace);
      this.#running ??= this.#run();
      return;
    }
    this.#skip();
  }

  /** What was seen since the present candidate and the snapshot in force met. */
  report(): ShadowReport {
    return this.#currentCounts().report();
  }

  /** Resolves when nothing waits to be compared. */
  async settled(): Promise<void> {
    while (this.#running) await this.#running;
  }

  /** Drops what waits, and the comparison under way. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    this.#waiting.length = 0;
    this.#scope?.cancel();
    await this.#running;
  }

  async #run(): Promise<void> {
    for (;;) {
      // The answers that are ready go out first.
      await new Promise((resolve) => void setImmediate(resolve));
      const next = this.#waiting.shift();
      if (!next) break;
      try {
        await this.#compare(next);
      } catch (error) {
        this.#complain(error);
      }
    }
    this.#running = undefined;
  }

  async #compare(answered: DecisionTrace): Promise<void> {
    const { clock, recorder } = this.#parts;
    const counts = this.#currentCounts();
    // Answered by what is not in force any more: that says nothing about a change from what is.
    if (answered.snapshot?.digest !== counts.active || counts.candidate === undefined) return;
    if (this.#lacksHeaders(answered)) return this.#skip();
    const started = clock.monotonic();
    const authenticated = questionOf(answered);
    if (!authenticated) return;
    const question = { ...authenticated, id: decisionId(clock.now()) };
    this.#known = answered;
    using scope = new CallScope(clock, TIMEOUT_MS);
    this.#scope = scope;
    const { decision, evaluated, stage } = await this.#decide(question, scope, counts.candidate);
    if (this.#closed) return;
    // Reloaded while an information point was asked.
    if (evaluated && evaluated.snapshot.digest !== counts.candidate) return;
    const shadow: DecisionTrace = {
      ...(evaluated ?? question),
      decision,
      enforced: false,
      shadowOf: answered.id,
      stage,
      timings: {},
      latencyUs: (clock.monotonic() - started) * 1000,
    };
    const outcome = outcomeOf(answered.decision, decision, FAULT_REASONS.has(decision.reason));
    counts.add(outcome, answered, shadow);
    this.#parts.onOutcome(outcome);
    // Not waited for: a log that is slow to be safe would hold up comparisons. Its writer bounds what waits.
    recorder.record(shadow).then(
      () => (this.#complained = false),
      (error: unknown) => this.#complain(error),
    );
  }

  async #decide(question: Authenticated, scope: CallScope, digest: string) {
    let stage: Stage = 'gather';
    try {
      const evaluated = await this.#evaluator.evaluate(question, scope, (next) => (stage = next));
      if (!isRefusal(evaluated)) return { evaluated, decision: this.#evaluator.conclude(evaluated), stage };
      return { decision: this.#denied(evaluated, digest), stage };
    } catch (error) {
      return { decision: this.#denied(refusalOf(error), digest), stage };
    }
  }

  /** Whether the candidate, which is newer than the answer, looks at what is not known of the request any more. */
  #lacksHeaders({ request }: DecisionTrace): boolean {
    const bindings = this.#parts.candidate.current()?.bindings;
    return bindings !== undefined && request?.http.headers.lacksAny(bindings.headers) === true;
  }

  #skip(): void {
    this.#currentCounts().skip();
    this.#parts.onOutcome('skipped');
  }

  #denied(refusal: Refusal, digest: string): Decision {
    return denyFor(refusal, digest);
  }

  #currentCounts(): ShadowCounts {
    const active = this.#parts.active.current()?.digest;
    const candidate = this.#parts.candidate.current()?.digest;
    if (this.#counts.active !== active || this.#counts.candidate !== candidate)
      this.#counts = new ShadowCounts(this.#parts.clock.now(), active, candidate);
    return this.#counts;
  }

  /** Once for each outage: a log that cannot be written would otherwise fill another. */
  #complain(error: unknown): void {
    if (!this.#complained) this.#parts.log.error({ err: error }, `shadow evaluation: ${messageOf(error)}`);
    this.#complained = true;
  }
}

/** A fault of ours, or an explanation, is no answer to compare with. */
function isComparable(trace: DecisionTrace): boolean {
  return (
    !FAULT_REASONS.has(trace.decision.reason) &&
    trace.explained === undefined &&
    questionOf(trace) !== undefined
  );
}

/** The check as it was before policies had a part in it; only what got past authentication can come out differently. */
function questionOf(trace: DecisionTrace): Authenticated | undefined {
  const { id, surface, pep, receivedAt, startedAt, trace: span, requestId, batch } = trace;
  const { request, canonical, asked, identities } = trace;
  if (!identities) return undefined;
  const envelope = {
    id,
    surface,
    pep,
    receivedAt,
    startedAt,
    ...(span && { trace: span }),
    ...(requestId !== undefined && { requestId }),
    ...(batch !== undefined && { batch }),
  };
  if (asked) return { ...envelope, asked, identities };
  return request && canonical && { ...envelope, request, canonical, identities };
}

interface Known {
  readonly facts?: readonly AttributeFact[];
  readonly omissions?: readonly AttributeOmission[];
}

/**
 * A source that says again what it said for the answer, and is asked only for what the candidate reads beyond that: differences then
 * come from the policies alone, and information points are not asked everything twice.
 */
function rememberingSource(source: AttributeSource, known: () => Known): AttributeSource {
  const { name, subject, gives, quiet, onFailure, onFailureOf } = source;
  const remembered = (subjectId: string): AttributeFact | undefined =>
    known().facts?.find((one) => one.source === name && one.subjectId === subjectId);
  return {
    name,
    subject,
    gives,
    onFailure,
    ...(quiet && { quiet }),
    ...(onFailureOf && { onFailureOf }),
    lookup(subjectId, asker, stale) {
      const isIt = (one: AttributeOmission) => one.source === name && one.subjectId === subjectId;
      const omission = known().omissions?.find(isIt);
      // The stage puts the name before what it catches.
      if (omission) throw new Error(omission.detail.replace(`${name}: `, ''));
      const fact = remembered(subjectId);
      if (fact?.failure !== undefined) throw new Error(fact.failure);
      return fact && (stale || !fact.stale) ? answerOf(fact) : source.lookup(subjectId, asker, stale);
    },
    lastKnown(subjectId) {
      const fact = remembered(subjectId);
      return fact ? answerOf(fact) : source.lastKnown?.(subjectId);
    },
  };
}

/** What the source said, without what became of it: that is for the policies of the candidate, and their schema. */
function answerOf({ leftOut: _left, failure: _why, ...answer }: AttributeFact): AttributeAnswer {
  return answer;
}
