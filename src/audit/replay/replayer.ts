import { type Decision, type Refusal, denyFor, isRefusal } from '../../pdp/decision.ts';
import type { Evaluation } from '../../pdp/evaluation.ts';
import { concludeEvaluation } from '../../pdp/stages/conclude.ts';
import { type DecisionRecord, type LogRecord, isDecision } from '../read/decision-record.ts';
import { RECORD_VERSION } from '../record/record.ts';
import { type Answer, type Answers, createAnswers } from './answers.ts';
import { differenceOf, outcomeOf, said } from './outcome.ts';
import type { RecordedPolicies } from './recorded-policies.ts';
import type { SegmentFacts } from './segment-facts.ts';
import { type Terms, contradiction, otherTerms, termsOf } from './record-terms.ts';
import { kindOf, stageResult } from './stage-result.ts';
import { type Difference, type Means, type NotReplayable, type Verdict, notReplayable } from './verdict.ts';

/** The HTTP status that a decision is told with, by the table of reasons. */
export type HttpStatusOf = (decision: Decision) => number;

/** What replay needs beside the log. */
export interface ReplayerOptions {
  readonly httpStatus: HttpStatusOf;
  /** Name and version of the engine that is installed here, as records name it. */
  readonly engine: string;
  /** How many evaluations are remembered; 0: each question is evaluated. */
  readonly memo: number;
}

/** A decision whose answer later ones reused, as far as they need it. */
export interface Origin {
  readonly answer: Answer | NotReplayable;
  readonly index: number;
  readonly terms: Terms;
}

/** A record that has to wait for the decision whose answer it reused. */
export interface Waiting {
  readonly record: DecisionRecord;
  /** Id of that decision. */
  readonly of: string;
}

/** What came of a record: `origin` where later ones may reuse its answer. */
export interface Replayed {
  readonly verdict: Verdict;
  readonly origin?: Origin;
}

/** Replays records one by one, from what is in the log alone. */
export interface Replayer {
  /** Replays a record, unless it reused another's answer. `undefined`: it is no decision. */
  replay(record: LogRecord | undefined, facts: SegmentFacts): Replayed | Waiting | undefined;
  /** Replays a record that reused an answer. `undefined`: the decision that it names is not in the log. */
  reuse(waiting: Waiting, origin: Origin | undefined): Verdict;
  /** What the decisions that reused a record's answer need of it. */
  origin(record: DecisionRecord, facts: SegmentFacts): Origin;
}

/** Makes a {@link Replayer}. */
export function createReplayer(options: ReplayerOptions): Replayer {
  const { httpStatus } = options;
  const answers = createAnswers(options);
  return {
    replay(record, facts) {
      if (record === undefined) return { verdict: notReplayable('malformed') };
      if (record['v'] !== RECORD_VERSION)
        return { verdict: notReplayable('unknown_version', String(record['v'])) };
      if (record['kind'] !== 'decision')
        return looksDecided(record) ? { verdict: notReplayable('malformed') } : undefined;
      if (!isDecision(record)) return { verdict: notReplayable('malformed') };
      const kind = kindOf(record);
      if (kind === 'stage_result') return { verdict: stageVerdict(record, httpStatus) };
      if (kind === 'reuse') return waiting(record);
      const origin = originOf(record, facts, answers);
      const { answer } = origin;
      if ('why' in answer) return { verdict: answer, origin };
      const by = answer.memo ? 'memo' : 'cedar';
      return { verdict: verdictOf(record, answer, { by, httpStatus, asked: origin.terms }), origin };
    },
    reuse: (hit, origin) => reuseVerdict(hit, origin, httpStatus),
    origin: (record, facts) => originOf(record, facts, answers),
  };
}

/** A decision does not go unseen by being called something else. */
function looksDecided({ decision_id: id, http_status: status }: LogRecord): boolean {
  return id !== undefined && status !== undefined;
}

function waiting(record: DecisionRecord): Waiting | Replayed {
  const { of } = record['cache'] as { readonly of?: unknown };
  return typeof of === 'string' ? { record, of } : { verdict: notReplayable('inputs_missing') };
}

function originOf(record: DecisionRecord, facts: SegmentFacts, answers: Answers): Origin {
  return { answer: answers.of(record, facts), index: record.index, terms: termsOf(record) };
}

function stageVerdict(record: DecisionRecord, httpStatus: HttpStatusOf): Verdict {
  const result = stageResult(record, httpStatus);
  return found('stage_result', 'field' in result ? result : differenceOf(record, result));
}

function verdictOf(
  record: DecisionRecord,
  { policies, evaluation }: Answer,
  { by, httpStatus, asked }: Judging,
): Verdict {
  const decision = decisionOf(record, policies, evaluation);
  const errors = isRefusal(evaluation) ? [] : evaluation.errors;
  const outcome = outcomeOf(decision, record, { errors, httpStatus: httpStatus(decision) });
  return found(by, differenceOf(record, outcome) ?? contradiction(record, asked));
}

interface Judging {
  readonly by: Means;
  readonly httpStatus: HttpStatusOf;
  /** What the question was about that is answered. */
  readonly asked: Terms;
}

function reuseVerdict(
  { record, of }: Waiting,
  origin: Origin | undefined,
  httpStatus: HttpStatusOf,
): Verdict {
  if (origin === undefined) return notReplayable('origin_missing', of);
  const odd = noReuse(record, origin);
  if (odd) return found('reuse', odd);
  const { answer, terms: asked } = origin;
  if ('why' in answer) return answer;
  if (isRefusal(answer.evaluation))
    return found('reuse', { field: 'cache', recorded: of, replayed: 'nothing to reuse' });
  const { digest } = answer.policies;
  const { snapshot } = record;
  const other: Difference | undefined =
    snapshot === digest
      ? otherTerms(termsOf(record), asked)
      : { field: 'snapshot', recorded: said(snapshot), replayed: digest };
  return other ? found('reuse', other) : verdictOf(record, answer, { by: 'reuse', httpStatus, asked });
}

/** What shows at once that no answer was reused: a decision is reused later, and an answer that was reused has no question of its own. */
function noReuse(record: DecisionRecord, { index }: Origin): Difference | undefined {
  if (index >= record.index)
    return { field: 'cache', recorded: `the answer of record ${index}`, replayed: 'that of an earlier one' };
  const own = OWN.find((name) => record[name] !== undefined);
  if (own !== undefined) return { field: own, recorded: said(record[own]), replayed: 'nothing' };
  // Only of a request by the default binding does the line say enough without them.
  const told = record['method'] !== undefined && record['binding'] === undefined;
  return record['principal'] === undefined && !told
    ? { field: 'principal', recorded: 'nothing', replayed: 'a principal' }
    : undefined;
}

/** What only a decision has that was evaluated; what is to be explained never comes from the cache. */
const OWN = ['engine', 'question', 'context', 'entities', 'explained'] as const;

/** The decision as the pipeline makes it of an answer. */
function decisionOf(
  { accepts_tokens: acceptsTokens, binding }: DecisionRecord,
  policies: RecordedPolicies,
  evaluation: Evaluation | Refusal,
): Decision {
  if (isRefusal(evaluation)) return denyFor(evaluation, policies.digest);
  return concludeEvaluation({
    evaluation,
    snapshot: policies.snapshot(),
    // The record says it only where nobody was identified.
    anonymous: acceptsTokens !== undefined,
    acceptsTokens: acceptsTokens === true,
    observed: typeof binding === 'string' && policies.observed.has(binding),
  });
}

function found(by: Means, difference: Difference | undefined): Verdict {
  return difference ? { verdict: 'MISMATCH', by, ...difference } : { verdict: 'MATCH', by };
}
