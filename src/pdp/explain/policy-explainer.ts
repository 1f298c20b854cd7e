import { type Clause, Judge, type Judgement, MAX_GROUP, leavesOf, stoodInTheWay } from './conditions.ts';
import type { Condition, ExplainableCheck, ExplainablePolicy, PolicyExplanation } from './explanation.ts';
import { type Expression, readExpression } from './expression.ts';
import { type Prober, isCarried, permitLike, permitWhere } from './prober.ts';
import { Provenances } from './provenance.ts';
import { RequestValues } from './request-values.ts';
import { principalWords, scopeExpression } from './scope.ts';
import { type Sight, cut } from './sight.ts';
import type { Truth } from './words.ts';

const MAX_PROBES = 2000;
const MAX_CONDITIONS = 40;
const MAX_POLICY_LENGTH = 4000;

/** A policy that is to be explained, with what the evaluation already says of it. */
export interface Candidate {
  readonly policy: ExplainablePolicy;
  readonly expected: Judgement['outcome'];
  /** Whether its scope fails at the principal. */
  readonly otherPrincipal?: boolean;
}

/** Explains policies one by one, having asked the engine about all of them at once. */
export class PolicyExplainer {
  readonly #check: ExplainableCheck;
  readonly #prober: Prober;
  readonly #sight: Sight;
  #truths: ReadonlyMap<string, Truth> = new Map();
  /** Whether something was left out. */
  truncated = false;

  constructor(check: ExplainableCheck, prober: Prober, now: number) {
    this.#check = check;
    this.#prober = prober;
    const provenances = new Provenances(check, now);
    this.#sight = { values: new RequestValues(check.cedar), provenances, now };
  }

  /** Explains policies; the answer is by policy id. */
  explain(candidates: readonly Candidate[]): ReadonlyMap<string, PolicyExplanation> {
    const read = candidates.map((candidate) => ({ candidate, clauses: readClauses(candidate.policy) }));
    const permits = new Map<string, object | string>();
    for (const { candidate, clauses = [] } of read) {
      add(permits, wholeKey(candidate.policy), permitLike(candidate.policy));
      for (const leaf of clauses.flatMap(({ expression }) => leavesOf(expression)))
        add(permits, keyOf(leaf), permits.size < MAX_PROBES ? permitWhere(leaf) : undefined);
    }
    this.#truths = this.#prober.evaluate(permits);
    return new Map(
      read.map(({ candidate, clauses }) => [candidate.policy.id, this.#explained(candidate, clauses)]),
    );
  }

  #explained(candidate: Candidate, clauses: readonly Clause[] | undefined): PolicyExplanation {
    const { id, effect, text, file, line, column } = candidate.policy;
    const { conditions } = (clauses && this.#judged(candidate, clauses)) ?? this.#asOne(candidate);
    const bounded = boundedConditions(conditions);
    if (sizeOf(bounded) < sizeOf(conditions) || text.length > MAX_POLICY_LENGTH) this.truncated = true;
    const failed = conditions.filter(stoodInTheWay).length;
    const place = { file, line, column };
    return { id, effect, text: cut(text, MAX_POLICY_LENGTH), ...place, conditions: bounded, failed };
  }

  /** Condition by condition; `undefined`: the engine could not be asked about each, or does not agree on what they come to. */
  #judged({ policy, otherPrincipal }: Candidate, clauses: readonly Clause[]): Judgement | undefined {
    const leaves = clauses.flatMap(({ expression }) => leavesOf(expression));
    if (!leaves.every((leaf) => this.#truths.has(keyOf(leaf)))) return undefined;
    const truthOf = (leaf: Expression): Truth => this.#truths.get(keyOf(leaf)) ?? false;
    const judged = new Judge(truthOf, this.#sight).clauses(clauses);
    const whole = this.#truths.get(wholeKey(policy));
    if (whole !== undefined && outcomeOf(whole) !== judged.outcome) return undefined;
    if (!otherPrincipal) return judged;
    const [principal, ...others] = judged.conditions;
    const words = principalWords(policy.json, this.#check.cedar.principal);
    return principal ? { ...judged, conditions: [{ ...principal, words }, ...others] } : judged;
  }

  /** The policy as one condition, whose text is the whole statement. */
  #asOne({ policy, expected, otherPrincipal }: Candidate): Judgement {
    const whole = this.#truths.get(wholeKey(policy));
    const outcome = whole === undefined ? expected : outcomeOf(whole);
    const error = typeof whole === 'object' ? `: ${cut(whole.error)}` : '';
    const words = otherPrincipal
      ? principalWords(policy.json, this.#check.cedar.principal)
      : { holds: 'it applies', fails: 'it does not apply', error: `it cannot be evaluated${error}` }[outcome];
    const text = cut(policy.text, MAX_POLICY_LENGTH);
    const clause = otherPrincipal ? 'scope' : 'when';
    return { outcome, conditions: [{ clause, text, wanted: true, outcome, words, values: [] }] };
  }
}

/** The clauses of a policy in the order in which Cedar evaluates them, scope first; `undefined`: it is odd in some way. */
function readClauses({ json }: ExplainablePolicy): readonly Clause[] | undefined {
  if (!isCarried(json)) return undefined;
  try {
    const { conditions } = json as { readonly conditions: readonly { kind: string; body: unknown }[] };
    return [...scopeClauses(json), ...conditions.map(clauseOf)];
  } catch {
    // Whatever form a later Cedar writes its policies in, the decision still has to be explained.
    return undefined;
  }
}

function scopeClauses(json: object): readonly Clause[] {
  return (['principal', 'action', 'resource'] as const).flatMap((part) => {
    const scope = scopeExpression(json, part);
    return scope ? [{ clause: 'scope', expression: readExpression(scope), wanted: true }] : [];
  });
}

function clauseOf({ kind, body }: { readonly kind: string; readonly body: unknown }): Clause {
  if (kind !== 'when' && kind !== 'unless')
    throw new TypeError(`Cedar has no clause '${kind}' that is known here`);
  return { clause: kind, expression: readExpression(body), wanted: kind === 'when' };
}

function add(permits: Map<string, object | string>, key: string, permit: object | string | undefined): void {
  if (permit !== undefined) permits.set(key, permit);
}

function keyOf(expression: Expression): string {
  return JSON.stringify(expression.json);
}

/** No JSON text begins with a letter that is followed by a space. */
function wholeKey({ id }: ExplainablePolicy): string {
  return `policy ${id}`;
}

function outcomeOf(truth: Truth): Judgement['outcome'] {
  if (typeof truth === 'object') return 'error';
  return truth ? 'holds' : 'fails';
}

/** Where there are too many conditions, those that hold are left out first. */
function boundedConditions(conditions: readonly Condition[]): readonly Condition[] {
  const telling = conditions.filter(({ outcome }) => outcome !== 'holds').slice(0, MAX_CONDITIONS);
  const room = MAX_CONDITIONS - telling.length;
  const holding = conditions.filter(({ outcome }) => outcome === 'holds').slice(0, room);
  const kept = new Set([...telling, ...holding]);
  return conditions.filter((condition) => kept.has(condition)).map(boundedGroup);
}

function boundedGroup(condition: Condition): Condition {
  const { anyOf, allOf } = condition;
  if (!anyOf && !allOf) return condition;
  return {
    ...condition,
    ...(anyOf && { anyOf: anyOf.slice(0, MAX_GROUP).map(boundedGroup) }),
    ...(allOf && { allOf: allOf.slice(0, MAX_GROUP).map(boundedGroup) }),
  };
}

function sizeOf(conditions: readonly Condition[]): number {
  return conditions.reduce((size, { anyOf = [], allOf = [] }) => size + 1 + sizeOf(anyOf) + sizeOf(allOf), 0);
}
