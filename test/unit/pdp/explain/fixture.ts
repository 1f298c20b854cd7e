import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { problemAt, splitStatements } from '../../../../src/pdp/cedar-text.ts';
import { CedarChecker } from '../../../../src/pdp/cedar.ts';
import type { AttributeFact } from '../../../../src/pdp/attribute.ts';
import { type CedarRequest, type EntityUid, type Evaluation } from '../../../../src/pdp/evaluation.ts';
import { explain } from '../../../../src/pdp/explain/explain.ts';
import type { Condition, ExplainablePolicy, Explanation } from '../../../../src/pdp/explain/explanation.ts';
import { POLICIES, SAMPLE_SCHEMA, snapshotOf } from '../../../support/snapshot.ts';

/** An instance for all tests of a file: what it is asked about does not trap. */
export const CHECKER = new CedarChecker();

/** When the explanations of these tests are told, Unix ms. */
export const NOW = 1_000_000;

/** The policies of a text as `explain` takes them. */
export function explainable(text: string, file = 'test.cedar'): ExplainablePolicy[] {
  return splitStatements({ file, text }).map((statement) => {
    const parsed = CHECKER.policy(statement.text);
    if ('complaints' in parsed) throw new Error(JSON.stringify(parsed.complaints));
    const { json } = parsed;
    const { line = 0, column = 0 } = problemAt(statement, 0, '');
    return {
      id: json.annotations?.['id'] ?? '',
      effect: json.effect,
      text: statement.text,
      file,
      line,
      column,
      json,
    };
  });
}

/** A reference into the default namespace. */
export function zt(type: string, id: string): EntityUid {
  return { type: `ZeroTrust::${type}`, id };
}

/** Explains a request against a policy text, having compiled and evaluated it as the server would. */
export function explained(
  text: string,
  cedar: CedarRequest,
  options: {
    readonly facts?: readonly AttributeFact[];
    readonly schema?: string;
    readonly file?: string;
  } = {},
): { readonly explanation: Explanation; readonly evaluation: Evaluation } {
  const { facts = [], schema = SAMPLE_SCHEMA, file } = options;
  const evaluation = snapshotOf(text, schema).evaluate(cedar);
  const policies = explainable(text, file);
  return { evaluation, explanation: explain({ cedar, facts }, policies, schema, evaluation, NOW, CHECKER) };
}

/** The text of a sample policy set. */
export function sampleSet(name: string): string {
  return readFileSync(join(POLICIES, name, `${name}.cedar`), 'utf8');
}

/** Words of the conditions that stood in the way, by policy id. */
export function failedWords(policies: Explanation['nearMisses']): Record<string, string[]> {
  return Object.fromEntries(
    policies.map(({ id, conditions }) => [
      id,
      conditions
        .filter(({ outcome }) => outcome === 'fails' || outcome === 'error')
        .map(({ words }) => words),
    ]),
  );
}

/** Conditions with those inside of groups. */
export function allConditions(conditions: readonly Condition[]): readonly Condition[] {
  return conditions.flatMap((one) => [
    one,
    ...allConditions(one.anyOf ?? []),
    ...allConditions(one.allOf ?? []),
  ]);
}

/** What Cedar itself makes of permits and, under their own text, of expressions in a request. */
export function askCedar(
  texts: Iterable<string>,
  schema: string,
  cedar: CedarRequest,
): ReadonlyMap<string, boolean | 'error'> {
  const all = [...new Set(texts)];
  const permits = all.map((text, index) => {
    const isPermit = /^(?:@|permit)/.test(text);
    return [`p${index}`, isPermit ? text : `permit (principal, action, resource) when { ${text} };`];
  });
  const answer = CHECKER.holding(Object.fromEntries(permits) as Record<string, string>, schema, cedar);
  if ('complaints' in answer) throw new Error(`${all.join('\n')}: ${answer.complaints[0]?.message}`);
  const truthOf = (id: string) => (answer.errors.has(id) ? 'error' : answer.holding.has(id));
  return new Map(all.map((text, index) => [text, truthOf(`p${index}`)]));
}
