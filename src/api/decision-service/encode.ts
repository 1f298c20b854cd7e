import type { Decision } from '../../pdp/decision.ts';
import type { DecisionTrace } from '../../pdp/trace.ts';
import { adviceOf } from '../question/advice.ts';
import { STATUS } from '../status.ts';
import { rpcErrorOf } from './rpc-error.ts';

const ALLOW = 1;
const DENY = 2;
const ADVICE = { authenticate: 1, step_up: 2 } as const;

/**
 * The message of a `pdp.v1.CheckResponse`. ALLOW is written only for a decision that says so. `tellPolicies`: the caller may know
 * which policies decided.
 */
export function checkResponse({ id, decision }: DecisionTrace, tellPolicies: boolean): object {
  const { reason, snapshot, policies, cacheableUntil } = decision;
  return {
    decision: decision.verdict === 'permit' ? ALLOW : DENY,
    reason,
    ...denyFields(decision),
    policies: tellPolicies ? [...policies] : [],
    decisionId: id,
    snapshot: snapshot ?? '',
    ...(cacheableUntil !== undefined && { cacheableUntil: timestamp(cacheableUntil) }),
  };
}

/** The message of a `pdp.v1.BatchResult`: an answer, or the error that a call of its own would have ended with. */
export function batchResult(trace: DecisionTrace, tellPolicies: boolean): object {
  // Whoever is not known does not get as far as items.
  const error = rpcErrorOf(trace, false);
  if (!error) return { response: checkResponse(trace, tellPolicies) };
  const { code, details: message, decisionId } = error;
  return { error: { code, message, decisionId } };
}

function denyFields(decision: Decision): object {
  if (decision.verdict === 'permit') return {};
  const advice = adviceOf(decision);
  return {
    message: decision.message ?? STATUS[decision.reason].message,
    ...(advice && { advice: { kind: ADVICE[advice.kind], acrValues: advice.acrValues ?? [] } }),
  };
}

function timestamp(ms: number): object {
  const seconds = Math.floor(ms / 1000);
  return { seconds, nanos: Math.floor(ms - seconds * 1000) * 1_000_000 };
}
