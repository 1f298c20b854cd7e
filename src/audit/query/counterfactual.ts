import { type Decision, denyFor } from '../../pdp/decision.ts';
import { InputError, refusalOf } from '../../pdp/errors.ts';
import type { CedarRequest, Evaluation } from '../../pdp/evaluation.ts';
import type { Explanation } from '../../pdp/explain/explanation.ts';
import { TraceExplainer } from '../../pdp/explain/explain-trace.ts';
import type { PolicySnapshot } from '../../pdp/policy-snapshot.ts';
import { concludeEvaluation } from '../../pdp/stages/conclude.ts';
import { suggestion } from '../../pdp/suggest.ts';
import type { DecisionRecord } from '../read/decision-record.ts';
import { recordedFacts } from './recorded-facts.ts';
import { timeOf } from '../read/segments-within.ts';
import { type Change, changed } from './what-if.ts';

/** What would have been different. */
export interface WhatIf {
  /** Ids of policies that would not have been there. */
  readonly without: readonly string[];
  readonly changes: readonly Change[];
}

/** The decision as it would have been. Nobody was ever told it. */
export interface Counterfactual extends WhatIf {
  readonly counterfactual: true;
  readonly decision: 'ALLOW' | 'DENY';
  readonly reason: string;
  readonly policies: readonly string[];
  /** What the operator should know of a fault. */
  readonly detail?: string;
  readonly explanation?: Explanation;
}

/** What is known of the decision that was made. */
export interface Known {
  readonly record: DecisionRecord;
  readonly set: PolicySnapshot | undefined;
  readonly question: CedarRequest | undefined;
}

/**
 * Asks a recorded question otherwise. Throws `InputError` for a policy that is not in the set, a value that nothing leads to, and where the question
 * or the policies are not there.
 */
export function answerWhatIf(whatIf: WhatIf, { record, set, question }: Known): Counterfactual {
  if (!set || !question)
    throw refused(
      record.decision_id,
      'cannot be asked otherwise: its question or its policies are not there',
    );
  const unknown = whatIf.without.find((id) => !set.policyIds.includes(id));
  if (unknown !== undefined)
    throw refused(unknown, `is no policy of this decision's set${suggestion(unknown, set.policyIds)}`);
  const asked = changed(question, whatIf.changes);
  const policies = without(set, new Set(whatIf.without));
  const answer = answerOf(asked, policies, record);
  const { decision, explanation } = answer;
  return {
    counterfactual: true,
    ...whatIf,
    decision: decision.verdict === 'permit' ? 'ALLOW' : 'DENY',
    reason: decision.reason,
    policies: decision.policies,
    ...(decision.verdict === 'deny' && decision.detail !== undefined && { detail: decision.detail }),
    ...(explanation && { explanation }),
  };
}

/** A set as if some policies were not in it, for those who evaluate and explain. */
function without(set: PolicySnapshot, ids: ReadonlySet<string>): PolicySnapshot {
  if (ids.size === 0) return set;
  const others = (all: readonly string[]) => all.filter((id) => !ids.has(id));
  return {
    ...set,
    policyIds: others(set.policyIds),
    candidates: (request) => others(set.candidates(request)),
    evaluate: (request, more = new Set()) => set.evaluate(request, new Set([...ids, ...more])),
  };
}

interface Answer {
  readonly decision: Decision;
  readonly explanation?: Explanation | undefined;
}

function answerOf(question: CedarRequest, set: PolicySnapshot, record: DecisionRecord): Answer {
  let evaluation: Evaluation;
  try {
    evaluation = set.evaluate(question);
  } catch (error) {
    return { decision: denyFor(refusalOf(error)) };
  }
  const { accepts_tokens: acceptsTokens } = record;
  const trace = {
    cedar: question,
    facts: recordedFacts(record),
    evaluation,
    receivedAt: timeOf(record) ?? 0,
  };
  const decision = concludeEvaluation({
    evaluation,
    snapshot: set,
    // The record says it only where nobody was identified.
    anonymous: acceptsTokens !== undefined,
    acceptsTokens: acceptsTokens === true,
    observed: false,
  });
  return { decision, explanation: new TraceExplainer(set).explain(trace) };
}

function refused(where: string, message: string): InputError {
  return new InputError('no counterfactual:', [{ where, message }]);
}
