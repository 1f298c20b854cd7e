import { CedarChecker } from '../cedar.ts';
import type { Evaluation } from '../evaluation.ts';
import { PolicyExplainer } from './policy-explainer.ts';
import type { ExplainableCheck, ExplainablePolicy, Explanation, PolicyExplanation } from './explanation.ts';
import { Prober, permitWhere } from './prober.ts';
import { ScopeTest, scopeExpression } from './scope.ts';

const MAX_EXAMINED = 100;
const MAX_LISTED = 20;
const MAX_SCOPE_MISSES = 10;

/**
 * Explains an evaluation: the policies that determined it and, where it is a deny, the permits that came nearest, each with its
 * conditions in words. Every condition is evaluated by the real engine, in an instance that serves nobody; `checker` lends one,
 * else it is made for this call.
 *
 * `evaluation` must be that of the very `policies`, schema and request given. Never throws over what policies say: what cannot be
 * put in words is told by its text.
 */
export function explain(
  check: ExplainableCheck,
  policies: readonly ExplainablePolicy[],
  schema: string,
  evaluation: Evaluation,
  now: number,
  checker: CedarChecker = new CedarChecker(),
): Explanation {
  const prober = new Prober(checker, schema, check.cedar);
  const roles = rolesOf(policies, evaluation);
  const { near, others } = roles.denied ? candidates(check, policies, prober) : { near: [], others: [] };
  const explainer = new PolicyExplainer(check, prober, now);
  const explained = explainer.explain([
    ...roles.determining.slice(0, MAX_LISTED).map((policy) => ({ policy, expected: roles.decidedBy })),
    ...roles.erring.slice(0, MAX_LISTED).map((policy) => ({ policy, expected: 'error' as const })),
    ...near.slice(0, MAX_EXAMINED).map((policy) => ({ policy, expected: 'fails' as const })),
    ...others
      .slice(0, MAX_SCOPE_MISSES)
      .map((policy) => ({ policy, expected: 'fails' as const, otherPrincipal: true })),
  ]);
  const of = (chosen: readonly ExplainablePolicy[]) => chosen.flatMap(({ id }) => explained.get(id) ?? []);
  const overridden = of(near).filter(isSatisfied);
  const nearMisses = nearestFirst(of(near).filter((one) => !isSatisfied(one)));
  const listed = [roles.determining, roles.erring, overridden, nearMisses];
  const left = near.length > MAX_EXAMINED || others.length > MAX_SCOPE_MISSES;
  return {
    verdict: roles.denied ? 'deny' : 'permit',
    determining: of(roles.determining),
    overridden: overridden.slice(0, MAX_LISTED),
    erring: of(roles.erring),
    nearMisses: nearMisses.slice(0, MAX_LISTED),
    scopeMisses: nearestFirst(of(others)),
    truncated: explainer.truncated || left || listed.some(({ length }) => length > MAX_LISTED),
  };
}

interface Roles {
  readonly denied: boolean;
  readonly determining: readonly ExplainablePolicy[];
  /** How the determining policies came out: an erring forbid denies too. */
  readonly decidedBy: 'holds' | 'error';
  readonly erring: readonly ExplainablePolicy[];
}

/** Which policies decided, as `conclude` has it: a forbid, else an erring forbid, else permits. */
function rolesOf(
  policies: readonly ExplainablePolicy[],
  { verdict, policies: ids, errors }: Evaluation,
): Roles {
  const [determined, erred] = [new Set(ids), new Set(errors)];
  const reasons = policies.filter(({ id }) => determined.has(id));
  const erring = policies.filter(({ id }) => erred.has(id));
  const broken = erring.filter(({ effect }) => effect === 'forbid');
  const denied = verdict === 'deny' || broken.length > 0;
  const byError = broken.length > 0 && (verdict === 'permit' || reasons.length === 0);
  const determining = byError ? broken : reasons;
  // On a deny, an erring permit is a near miss.
  const rest = erring.filter(({ effect }) => effect === 'forbid' || !denied);
  return {
    denied,
    determining,
    decidedBy: byError ? 'error' : 'holds',
    erring: rest.filter((policy) => !determining.includes(policy)),
  };
}

interface Candidates {
  /** Permits whose scope matches. */
  readonly near: readonly ExplainablePolicy[];
  /** Permits whose scope matches but for the principal. */
  readonly others: readonly ExplainablePolicy[];
}

function candidates(
  { cedar }: ExplainableCheck,
  policies: readonly ExplainablePolicy[],
  prober: Prober,
): Candidates {
  const test = new ScopeTest(cedar);
  const permits = policies.filter(
    ({ effect, json }) => effect === 'permit' && test.matches(json, 'resource'),
  );
  const applies = actionTest(permits, prober);
  const applicable = permits.filter(applies);
  return {
    near: applicable.filter(({ json }) => test.matches(json, 'principal')),
    others: applicable.filter(({ json }) => !test.matches(json, 'principal')),
  };
}

/** Which policies the action is in the scope of. The schema knows the action's groups, so the engine is asked, once per wording. */
function actionTest(
  policies: readonly ExplainablePolicy[],
  prober: Prober,
): (policy: ExplainablePolicy) => boolean {
  const scopes = new Map(policies.map((policy) => [policy, scopeExpression(policy.json, 'action')]));
  const permits = new Map<string, object | string>();
  for (const scope of scopes.values()) {
    const permit = scope && permitWhere({ json: scope });
    if (permit) permits.set(JSON.stringify(scope), permit);
  }
  const truths = prober.evaluate(permits);
  return (policy) => {
    const scope = scopes.get(policy);
    return scope === undefined || truths.get(JSON.stringify(scope)) === true;
  };
}

function isSatisfied({ conditions }: PolicyExplanation): boolean {
  return conditions.every(({ outcome }) => outcome === 'holds');
}

function nearestFirst(explained: readonly PolicyExplanation[]): PolicyExplanation[] {
  const unreached = ({ conditions }: PolicyExplanation) =>
    conditions.filter(({ outcome }) => outcome === 'not_reached').length;
  return explained.toSorted(
    (a, b) => a.failed - b.failed || unreached(a) - unreached(b) || (a.id < b.id ? -1 : 1),
  );
}
