import { decisionKey } from '../cache-key.ts';
import type { Refusal } from '../decision.ts';
import type { Clock, DecisionCache } from '../ports.ts';
import type { Bound, Evaluated } from '../trace.ts';

/** What `evaluate` needs. */
export interface Evaluating {
  readonly cache: DecisionCache;
  readonly clock: Clock;
  /** Ceiling on the life of a cached evaluation, in ms; 0 turns the cache off. */
  readonly maxAgeMs: number;
}

/**
 * Lets Cedar decide, or an equal question's earlier answer. Only whole answers are cached: none with an erroring policy, none
 * made while a source was omitted, none whose policies read the clock, none that is to be explained.
 */
export function createEvaluate({ cache, clock, maxAgeMs }: Evaluating) {
  return (bound: Bound): Evaluated | Refusal => {
    const { snapshot, cedar, omissions, explained } = bound;
    const cacheable =
      maxAgeMs > 0 && !explained && omissions.length === 0 && !snapshot.reads.contextKeys.has('now');
    if (!cacheable) return { ...bound, evaluation: snapshot.evaluate(cedar), cache: { hit: false } };
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
  };
}
