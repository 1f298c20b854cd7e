import { type Decision, FAULT_REASONS } from '../../pdp/decision.ts';
import type { DecisionTrace } from '../../pdp/trace.ts';
import { adviceOf } from '../question/advice.ts';
import { STATUS } from '../status.ts';

/** Why there was no question, or none that the caller may ask. */
export interface NoAnswer {
  readonly status: 400 | 401 | 403;
  /** In words for the caller. */
  readonly message: string;
  /** Id of the record. */
  readonly decisionId: string;
}

/** The error that a decision comes to; `undefined`: it is an answer, which a deny is too. `unauthenticated`: other credentials might help. */
export function noAnswerOf({ id, decision }: DecisionTrace, unauthenticated: boolean): NoAnswer | undefined {
  if (decision.verdict === 'permit') return undefined;
  const message = decision.detail ?? STATUS[decision.reason].message;
  if (decision.reason === 'request_malformed') return { status: 400, message, decisionId: id };
  if (decision.reason !== 'caller_not_allowed') return undefined;
  return { status: unauthenticated ? 401 : 403, message, decisionId: id };
}

/**
 * One answer of the Access Evaluation APIs (AuthZEN §6.2). `true` is written only for a decision that says so. `tellPolicies`: the caller may know
 * which policies decided.
 */
export function evaluationAnswer({ id, decision }: DecisionTrace, tellPolicies: boolean): object {
  const { reason, snapshot, policies, cacheableUntil } = decision;
  return {
    decision: decision.verdict === 'permit',
    context: {
      decision_id: id,
      reason,
      ...denyFields(decision),
      ...(tellPolicies && { policies }),
      ...(snapshot !== undefined && { snapshot }),
      ...(cacheableUntil !== undefined && { cacheable_until: new Date(cacheableUntil).toISOString() }),
    },
  };
}

/** An item of a batch that is no question, or none that the caller may ask: not permitted, and why. */
export function errorAnswer({ status, message, decisionId }: NoAnswer): object {
  return { decision: false, context: { decision_id: decisionId, error: { status, message } } };
}

/** A search in which nobody was looked at (AuthZEN §8): nobody is found, and why. */
export function emptyAnswer({ id, decision }: DecisionTrace): object {
  return { results: [], context: { decision_id: id, reason: decision.reason, ...faultField(decision) } };
}

function denyFields(decision: Decision): object {
  if (decision.verdict === 'permit') return {};
  const advice = adviceOf(decision);
  return {
    message: decision.message ?? STATUS[decision.reason].message,
    ...faultField(decision),
    ...(advice && {
      advice: { kind: advice.kind, ...(advice.acrValues && { acr_values: advice.acrValues }) },
    }),
  };
}

/** Nothing was decided: not permitted, and no answer to the question either. */
function faultField({ verdict, reason }: Decision): object {
  if (verdict === 'permit' || !FAULT_REASONS.has(reason)) return {};
  const { http: status, message } = STATUS[reason];
  return { error: { status, message } };
}
