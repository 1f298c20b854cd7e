import { CedarChecker } from '../pdp/cedar.ts';
import { problemAt, splitStatements } from '../pdp/cedar-text.ts';
import { explain } from '../pdp/explain/explain.ts';
import type { ExplainablePolicy } from '../pdp/explain/explanation.ts';
import { explanationText } from '../pdp/explain/explanation-text.ts';
import type { PolicyTexts } from '../pdp/policy-source.ts';
import type { DecisionTrace } from '../pdp/trace.ts';

/** Explains decisions of one policy set, in words. */
export class CaseExplainer {
  readonly #texts: PolicyTexts;
  /** Made for the first explanation: most runs need none. */
  #prepared: { readonly checker: CedarChecker; readonly policies: readonly ExplainablePolicy[] } | undefined;

  constructor(texts: PolicyTexts) {
    this.#texts = texts;
  }

  /** The explanation as text; `undefined` where Cedar was not asked. */
  textFor(trace: DecisionTrace): string | undefined {
    const { cedar, facts, identities, evaluation, receivedAt } = trace;
    if (!cedar || !facts || !evaluation) return undefined;
    const { checker, policies } = (this.#prepared ??= prepare(this.#texts));
    const schema = this.#texts.schemas.map((source) => source.text).join('\n');
    const check = { cedar, facts, ...(identities && { identities }) };
    return explanationText(explain(check, policies, schema, evaluation, receivedAt, checker));
  }
}

function prepare(texts: PolicyTexts) {
  const checker = new CedarChecker();
  return { checker, policies: explainablePolicies(texts, checker) };
}

function explainablePolicies(texts: PolicyTexts, checker: CedarChecker): ExplainablePolicy[] {
  return texts.policies.flatMap(splitStatements).flatMap((statement) => {
    const parsed = checker.policy(statement.text);
    if (!('json' in parsed)) return [];
    const { line = 1, column = 1 } = problemAt(statement, 0, '');
    const { effect, annotations } = parsed.json;
    const { text, file } = statement;
    return [{ id: annotations?.['id'] ?? '', effect, text, file, line, column, json: parsed.json }];
  });
}
