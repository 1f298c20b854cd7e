import type { Explanation } from '../../pdp/explain/explanation.ts';
import { explanationText } from '../../pdp/explain/explanation-text.ts';
import { TraceExplainer } from '../../pdp/explain/explain-trace.ts';
import type { PolicySnapshot } from '../../pdp/policy-snapshot.ts';
import type { DecisionTrace } from '../../pdp/trace.ts';
import { checkResponse } from './encode.ts';
import { explanationMessage } from './encode-explanation.ts';

/** Explains decisions of whatever snapshot is in force. */
export class Explainer {
  #newest: { readonly of: PolicySnapshot; readonly explainer: TraceExplainer } | undefined;

  /** The message of a `pdp.v1.ExplainResponse`. */
  response(trace: DecisionTrace): object {
    const { decision } = trace;
    const explanation = this.#why(trace);
    return {
      response: checkResponse(trace, true),
      detail: decision.verdict === 'deny' ? (decision.detail ?? '') : '',
      ...(explanation && {
        explanation: explanationMessage(explanation),
        text: explanationText(explanation),
      }),
    };
  }

  #why(trace: DecisionTrace): Explanation | undefined {
    const { snapshot } = trace;
    if (!snapshot) return undefined;
    // Each holds an engine and the policies that it has read: only that of the newest snapshot is kept.
    if (this.#newest?.of !== snapshot)
      this.#newest = { of: snapshot, explainer: new TraceExplainer(snapshot) };
    return this.#newest.explainer.explain(trace);
  }
}
