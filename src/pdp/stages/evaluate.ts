import { decisionKey } from '../cache-key.ts';
import { FAULT_REASONS, type Refusal } from '../decision.ts';
import { isComplete } from '../facts/complete.ts';
import type { Clock, DecisionCache, Revocations } from '../ports.ts';
import { refuseRevoked } from '../refused-evidence.ts';
import type { Bound, Evaluated } from '../trace.ts';

/** What `evaluate` needs. */
export interface Evaluating {
  readonly cache: DecisionCache;
  readonly clock: Clock;
  /** Ceiling on the life of a cached evaluation, in ms; 0 turns the cache off. */
  readonly maxAgeMs: number;
  readonly revocations: Revocations;
}

/**
 * Lets Cedar decide, or an equal question's earlier answer, unless somebody in the question has been revoked meanwhile. Only whole answers
 * are cached: none with an erroring policy, none made while a source failed, none whose policies read the clock, none that is to be
 * explained; and none is used, nor said to be good for later, while we may have missed a revocation.
 */
export function createEvaluate(parts: Evaluating) {
  const { clock, revocations } = parts;
  return (bound: Bound): Evaluated | Refusal => {
    const refusal = revocations.refusal(bound);
    if (refusal)
      return FAULT_REASONS.has(refusal.refusal) ? refusal : refuseRevoked(refusal, bound.identities);
    const { snapshot, cedar } = bound;
    if (!revocations.isCurrent()) {
      const inputsValidUntil = Math.min(bound.inputsValidUntil, clock.now());
      return { ...bound, inputsValidUntil, evaluation: snapshot.evaluate(cedar), cache: { hit: false } };
    }
    if (!isCacheable(bound, parts.maxAgeMs))
      return { ...bound, evaluation: snapshot.evaluate(cedar), cache: { hit: false } };
    return evaluateCached(bound, parts);
  };
}

function isCacheable(bound: Bound, maxAgeMs: number): boolean {
  const { explained, snapshot } = bound;
  return maxAgeMs > 0 && !explained && isComplete(bound) && !snapshot.reads.contextKeys.has('now');
}

function evaluateCached(bound: Bound, { cache, clock, maxAgeMs }: Evaluating): Evaluated {
  const { snapshot, cedar } = bound;
  const now = clock.now();
  const key = decisionKey(snapshot.digest, cedar);
  const cached = cache.get(key, now);
  if (cached) {
    const cacheHit = { hit: true, of: cached.decisionId, ageMs: now - cached.evaluatedAt } as const;
    const inputsValidUntil = Math.min(bound.inputsValidUntil, cached.validUntil);
    return { ...bound, inputsValidUntil, evaluation: cached.evaluation, cache: cacheHit };
  }
  const evaluation = snapshot.evaluate(cedar);
  const validUntil = Math.min(bound.inputsValidUntil, now + maxAgeMs);
  if (evaluation.errors.length === 0) {
    cache.set(key, { evaluation, decisionId: bound.id, evaluatedAt: now, validUntil }, now);
  }
  return { ...bound, inputsValidUntil: validUntil, evaluation, cache: { hit: false } };
}
