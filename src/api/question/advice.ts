import type { Decision } from '../../pdp/decision.ts';
import { STATUS } from '../status.ts';

/** What the subject could do about a deny. */
export interface Advice {
  readonly kind: 'authenticate' | 'step_up';
  /** Authentication context classes that would do (RFC 9470). */
  readonly acrValues?: readonly string[];
}

/** What would help against a deny: what policies advise, else what its HTTP status says; `undefined` where nothing is known to. */
export function adviceOf(decision: Decision): Advice | undefined {
  if (decision.verdict === 'permit') return undefined;
  const { reason, advice } = decision;
  if (!advice) return STATUS[reason].http === 401 ? { kind: 'authenticate' } : undefined;
  const { kind, acrValues } = advice;
  return { kind, ...(acrValues !== undefined && { acrValues: acrValues.split(' ') }) };
}
