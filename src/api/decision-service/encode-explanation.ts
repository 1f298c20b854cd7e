import type { Condition, Explanation, PolicyExplanation } from '../../pdp/explain/explanation.ts';

const EFFECTS = { permit: 1, forbid: 2 } as const;
const CLAUSES = { scope: 1, when: 2, unless: 3 } as const;
const OUTCOMES = { holds: 1, fails: 2, error: 3, not_reached: 4 } as const;

/** The message of a `pdp.v1.Explanation`. */
export function explanationMessage(explanation: Explanation): object {
  const { determining, overridden, erring, nearMisses, scopeMisses, truncated } = explanation;
  return {
    determining: determining.map(policyMessage),
    overridden: overridden.map(policyMessage),
    erring: erring.map(policyMessage),
    nearMisses: nearMisses.map(policyMessage),
    scopeMisses: scopeMisses.map(policyMessage),
    truncated,
  };
}

function policyMessage({ effect, conditions, ...policy }: PolicyExplanation): object {
  return { ...policy, effect: EFFECTS[effect], conditions: conditions.map(conditionMessage) };
}

function conditionMessage({ clause, outcome, values, anyOf, allOf, ...condition }: Condition): object {
  return {
    ...condition,
    clause: CLAUSES[clause],
    outcome: OUTCOMES[outcome],
    values: [...values],
    anyOf: anyOf?.map(conditionMessage) ?? [],
    allOf: allOf?.map(conditionMessage) ?? [],
  };
}
