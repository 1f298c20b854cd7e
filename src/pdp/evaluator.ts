import type { CallScope } from './call-scope.ts';
import { type Decision, type Refusal, isRefusal } from './decision.ts';
import type { AttributeSource, PolicySnapshotSource } from './ports.ts';
import { bind } from './stages/bind.ts';
import { type Concluding, createConclude } from './stages/conclude.ts';
import { type Evaluating, createEvaluate } from './stages/evaluate.ts';
import { createGather } from './stages/gather.ts';
import type { Authenticated, Evaluated, Stage } from './trace.ts';

/** What an evaluator is made of. */
export interface EvaluatorParts extends Evaluating, Concluding {
  readonly snapshots: PolicySnapshotSource;
  readonly sources: readonly AttributeSource[];
}

/** The stages from identities to a decision, for evaluations beside the one that answers: shadow, explanations, tests. */
export interface Evaluator {
  /** Gathers, binds and evaluates; `enter` is told of each stage that begins. Rejects where a stage throws. */
  evaluate(
    authenticated: Authenticated,
    scope: CallScope,
    enter?: (stage: Stage) => void,
  ): Promise<Evaluated | Refusal>;
  conclude(evaluated: Evaluated): Decision;
}

/** Makes an evaluator. */
export function createEvaluator(parts: EvaluatorParts): Evaluator {
  const gather = createGather(parts);
  const evaluate = createEvaluate(parts);
  return {
    async evaluate(authenticated, scope, enter = () => undefined) {
      enter('gather');
      const informed = await gather(authenticated, scope);
      if (isRefusal(informed)) return informed;
      enter('bind');
      const bound = bind(informed);
      if (isRefusal(bound)) return bound;
      enter('evaluate');
      return evaluate(bound);
    },
    conclude: createConclude(parts),
  };
}
