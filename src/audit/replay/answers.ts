import { LRUCache } from 'lru-cache';
import { type Refusal, isRefusal } from '../../pdp/decision.ts';
import { refusalOf } from '../../pdp/errors.ts';
import type { CedarRequest, Evaluation } from '../../pdp/evaluation.ts';
import type { DecisionRecord } from '../read/decision-record.ts';
import { isUnanswerable, questionOf } from '../read/question.ts';
import type { RecordedPolicies } from './recorded-policies.ts';
import { type SegmentFacts, whyOf } from './segment-facts.ts';
import { type NotReplayable, notReplayable } from './verdict.ts';

/** What Cedar says to a recorded question. */
export interface Answer {
  readonly policies: RecordedPolicies;
  /** A refusal where the engine took the question for none. */
  readonly evaluation: Evaluation | Refusal;
  /** Whether an equal question was evaluated before, in this run. */
  readonly memo: boolean;
}

/** What answering needs. */
export interface Answering {
  /** Name and version of the engine that is installed, as records name it. */
  readonly engine: string;
  /** How many evaluations are remembered; 0: each question is evaluated. */
  readonly memo: number;
}

/** Asks recorded questions again. */
export interface Answers {
  /** The answer by the policies that the record names. */
  of(record: DecisionRecord, facts: SegmentFacts): Answer | NotReplayable;
}

/** Makes {@link Answers}. An evaluation is remembered under everything that it depends on, so that memory changes the time and nothing else. */
export function createAnswers({ engine, memo }: Answering): Answers {
  const known = memo > 0 ? new LRUCache<string, Evaluation | Refusal>({ max: memo }) : undefined;
  return {
    of(record, facts) {
      const policies = policiesOf(record, facts, engine);
      if ('why' in policies) return policies;
      const problem = facts.problemOf(record);
      if (problem) return problem;
      const key = known && questionKey(record);
      const before = key === undefined ? undefined : known?.get(key);
      if (before) return { policies, evaluation: before, memo: true };
      const question = questionOf(record, facts.pack);
      if (isUnanswerable(question)) return notReplayable(whyOf(question), question.digest);
      const evaluation = evaluated(policies, question);
      if (key !== undefined && isLasting(evaluation)) known?.set(key, evaluation);
      return { policies, evaluation, memo: false };
    },
  };
}

function policiesOf(
  record: DecisionRecord,
  facts: SegmentFacts,
  installed: string,
): RecordedPolicies | NotReplayable {
  const { truncated, snapshot, engine } = record;
  if (truncated === true) return notReplayable('truncated');
  if (typeof snapshot !== 'string' || typeof engine !== 'string') return notReplayable('inputs_missing');
  if (engine !== installed) return notReplayable('engine_unavailable', engine);
  return facts.policies(snapshot);
}

/** JSON of an array is injective. */
function questionKey(record: DecisionRecord): string {
  const { snapshot, principal, action, resource, question, context, entities } = record;
  return JSON.stringify([snapshot, principal, action, resource, question, context, entities]);
}

function evaluated(policies: RecordedPolicies, question: CedarRequest): Evaluation | Refusal {
  try {
    return policies.snapshot().evaluate(question);
  } catch (error) {
    return refusalOf(error);
  }
}

/** A fault of the engine may be over the next time. */
function isLasting(evaluation: Evaluation | Refusal): boolean {
  return !isRefusal(evaluation) || evaluation.refusal === 'attribute_refused';
}
