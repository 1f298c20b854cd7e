import type { CedarChecker } from '../pdp/cedar.ts';
import { type PolicyStatement, problemAt, splitStatements } from '../pdp/cedar-text.ts';
import type { SourceText } from '../pdp/policy-source.ts';

type Expression = { readonly [operator: string]: unknown };

interface PolicyJson {
  readonly conditions: readonly ConditionJson[];
  readonly annotations?: { readonly id?: string };
}

interface ConditionJson {
  readonly kind: 'when' | 'unless';
  readonly body: Expression;
}

/** A conjunct of a condition, with policies that are satisfied exactly when it came to true, and to false. */
export interface Condition {
  readonly policy: string;
  readonly kind: 'when' | 'unless';
  readonly text: string;
  readonly file: string;
  readonly line: number;
  /** Texts of the probes. */
  readonly isTrue: string;
  readonly isFalse: string;
}

/** The conjuncts of all `when` and `unless` conditions of the policies in a set's files, in order. Templates have none here. */
export function conditionsOf(sources: readonly SourceText[], checker: CedarChecker): Condition[] {
  return sources.flatMap(splitStatements).flatMap((statement) => {
    const parsed = checker.policy(statement.text);
    return 'json' in parsed ? conjunctsOf(parsed.json as object as PolicyJson, statement, checker) : [];
  });
}

function conjunctsOf(policy: PolicyJson, statement: PolicyStatement, checker: CedarChecker): Condition[] {
  const { line = 1 } = problemAt(statement, 0, '');
  const place = { policy: policy.annotations?.id ?? '', file: statement.file, line };
  return policy.conditions.flatMap(({ kind, body }, index) => {
    const conjuncts = split(body);
    return conjuncts.map((conjunct, at) => {
      // Cedar comes to a conjunct only when all before it held, so the probe asks those first: they may guard it.
      const guards = conjuncts.slice(0, at);
      const before = policy.conditions.slice(0, index);
      const probe = (last: Expression) =>
        textOf({ ...policy, before, body: [...guards, last].reduce(and) }, checker);
      const isFalse = { '!': { arg: conjunct } };
      return {
        ...place,
        kind,
        text: display(conjunct, checker),
        isTrue: probe(conjunct),
        isFalse: probe(isFalse),
      };
    });
  });
}

function split(expression: Expression): Expression[] {
  const and = expression['&&'] as { readonly left: Expression; readonly right: Expression } | undefined;
  return and ? [...split(and.left), ...split(and.right)] : [expression];
}

function and(left: Expression, right: Expression): Expression {
  return { '&&': { left, right } };
}

interface Probe extends PolicyJson {
  readonly before: readonly ConditionJson[];
  readonly body: Expression;
}

/** A probe always permits: satisfied permits are all named in an answer, whatever the policy's own effect. */
function textOf({ before, body, ...policy }: Probe, checker: CedarChecker): string {
  const conditions = [...before, { kind: 'when', body }];
  const answer = checker.policyText({ ...policy, effect: 'permit', annotations: {}, conditions });
  if ('text' in answer) return answer.text;
  throw new Error(
    `a condition cannot be probed: ${answer.complaints.map(({ message }) => message).join('; ')}`,
  );
}

const ANY = { op: 'All' };

function display(conjunct: Expression, checker: CedarChecker): string {
  const text = textOf(
    { principal: ANY, action: ANY, resource: ANY, before: [], body: conjunct } as object as Probe,
    checker,
  );
  const inner = /when \{ (.*) \};$/s.exec(text)?.[1] ?? text;
  return withoutParentheses(inner);
}

/** Cedar prints `(a == b)` for a whole expression; the outer pair says nothing. */
function withoutParentheses(text: string): string {
  if (!text.startsWith('(') || !text.endsWith(')')) return text;
  let depth = 0;
  for (const match of text.matchAll(/"(?:[^"\\]|\\.)*"|[()]/gs)) {
    if (match[0] === '(') depth += 1;
    if (match[0] === ')') depth -= 1;
    if (depth === 0 && match.index < text.length - 1) return text;
  }
  return text.slice(1, -1);
}
