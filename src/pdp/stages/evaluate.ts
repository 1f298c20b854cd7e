import { decisionKey, likenessKey } from '../cache-key.ts';
import { FAULT_REASONS, type Refusal } from '../decision.ts';
import { isComplete } from '../facts/complete.ts';
import type { Evaluation } from '../evaluation.ts';
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
 * Lets Cedar decide, or an equal question's earlier answer, or what came of one that the policies cannot tell from this one, unless somebody in the question has been revoked meanwhile. Only whole answers
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
    if (!isCacheable(bound, parts))
      return { ...bound, evaluation: snapshot.evaluate(cedar), cache: { hit: false } };
    return evaluateCached(bound, parts);
  };
}

function isCacheable(bound: Bound, { clock, maxAgeMs }: Evaluating): boolean {
  const { explained, snapshot, inputsValidUntil } = bound;
  if (maxAgeMs <= 0 || explained || inputsValidUntil <= clock.now()) return false;
  return isComplete(bound) && !snapshot.reads.contextKeys.has('now');
}

function evaluateCached(bound: Bound, parts: Evaluating): Evaluated {
  const { cache, clock, maxAgeMs } = parts;
  const now = clock.now();
  const key = decisionKey(bound.snapshot.digest, bound.cedar);
  const cached = cache.get(key, now);
  if (cached) {
    const cacheHit = { hit: true, of: cached.decisionId, ageMs: now - cached.evaluatedAt } as const;
    const inputsValidUntil = Math.min(bound.inputsValidUntil, cached.validUntil);
    return { ...bound, inputsValidUntil, evaluation: cached.evaluation, cache: cacheHit };
  }
  const { evaluation, evaluatedAt, like } = evaluateOnce(bound, parts, now);
  const validUntil = Math.min(bound.inputsValidUntil, evaluatedAt + maxAgeMs);
  if (evaluation.errors.length === 0)
    cache.set(key, { evaluation, decisionId: bound.id, evaluatedAt: now, validUntil }, now);
  const provenance = { hit: false, ...(like !== undefined && { like }) } as const;
  return { ...bound, inputsValidUntil: validUntil, evaluation, cache: provenance };
}

interface Once {
  readonly evaluation: Evaluation;
  readonly evaluatedAt: number;
  /** The decision that evaluated, where it was another one. */
  readonly like?: string;
}

/** Evaluates, or takes what came of a question that the policies cannot tell from this one. */
function evaluateOnce({ id, snapshot, cedar }: Bound, parts: Evaluating, now: number): Once {
  const { cache, maxAgeMs } = parts;
  const likeness = snapshot.likeness(cedar);
  const key = likeness && likenessKey(snapshot.digest, likeness);
  const known = key === undefined ? undefined : cache.get(key, now);
  if (known) return { ...known, like: known.decisionId };
  const once = { evaluation: snapshot.evaluate(cedar), evaluatedAt: now };
  // It is about no one's facts: these are asked for anew, and end when they do.
  const validUntil = now + maxAgeMs;
  if (key !== undefined && once.evaluation.errors.length === 0)
    cache.set(key, { ...once, decisionId: id, validUntil }, now);
  return once;
}
