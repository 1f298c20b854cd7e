import { CedarChecker, CedarEngine } from '../pdp/cedar.ts';
import { PdpError } from '../pdp/errors.ts';
import { type Condition, conditionsOf } from './conditions.ts';
import type { PolicySet } from './policy-set.ts';
import type { CaseResult, ConditionCoverage, Coverage } from './report.ts';

/**
 * What the tests of a set never showed: policies that determined no decision, and conjuncts that never came to true or to false.
 * Each conjunct is asked of the engine itself, for every request that the cases put to Cedar.
 */
export function coverageOf(set: PolicySet, results: readonly CaseResult[]): Coverage {
  const conditions = conditionsOf(set.texts.policies, new CedarChecker());
  const seen = probe(set, conditions, results);
  const covered = conditions.map((condition, index) => coverageOfCondition(condition, index, seen));
  const determined = new Set(results.flatMap((result) => result.outcome.policies));
  const undetermined = set.snapshot.policyIds.filter((id) => !determined.has(id));
  const policies = set.snapshot.policyIds.length;
  const outcomes = covered.flatMap(({ sawTrue, sawFalse }) => [sawTrue, sawFalse]);
  return {
    policies,
    undetermined,
    conditions: covered,
    policyPercent: percent(policies - undetermined.length, policies),
    conditionPercent: percent(outcomes.filter(Boolean).length, outcomes.length),
  };
}

function coverageOfCondition(
  condition: Condition,
  index: number,
  seen: ReadonlySet<string>,
): ConditionCoverage {
  const { isTrue: _isTrue, isFalse: _isFalse, ...place } = condition;
  return { ...place, sawTrue: seen.has(`${index} true`), sawFalse: seen.has(`${index} false`) };
}

function probe(
  set: PolicySet,
  conditions: readonly Condition[],
  results: readonly CaseResult[],
): ReadonlySet<string> {
  const seen = new Set<string>();
  const probes = conditions.flatMap(({ isTrue, isFalse }, index) => [
    [`${index} true`, isTrue] as const,
    [`${index} false`, isFalse] as const,
  ]);
  if (probes.length === 0) return seen;
  const schema = set.texts.schemas.map((source) => source.text).join('\n');
  const engine = CedarEngine.load({ schema, policies: Object.fromEntries(probes) });
  for (const { request } of results) {
    try {
      for (const id of request ? engine.evaluate(request).policies : []) seen.add(id);
    } catch (error) {
      // The case itself was refused in the same way, and its result says so.
      if (!(error instanceof PdpError)) throw error;
    }
  }
  return seen;
}

/** Rounded down: 100 means all. */
function percent(part: number, whole: number): number {
  return whole === 0 ? 100 : Math.floor((part / whole) * 100);
}
