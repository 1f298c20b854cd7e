import type { Condition } from './explanation.ts';
import type { Expression } from './expression.ts';
import { expressionText } from './expression-text.ts';
import { type Sight, cut, seenValues } from './sight.ts';
import { type Truth, wordsFor } from './words.ts';

const MAX_TEXT_LENGTH = 500;
const MAX_WORDS_LENGTH = 2000;

/** How many conditions of a group are told, at most. */
export const MAX_GROUP = 20;

/** One clause of a policy: the parts of its scope count as clauses too. */
export interface Clause {
  readonly clause: Condition['clause'];
  readonly expression: Expression;
  /** What the expression must be for the policy to apply. */
  readonly wanted: boolean;
}

/** What the engine made of an expression that is not split further. */
export type TruthOf = (expression: Expression) => Truth;

/** How clauses came out together, with the conditions that they are made of. */
export interface Judgement {
  /** As Cedar has it: decided by the first condition that does not hold. */
  readonly outcome: 'holds' | 'fails' | 'error';
  readonly conditions: readonly Condition[];
}

/** The parts of an expression that are evaluated one by one: what `&&`, `||`, `!` and `if` are made of. */
export function leavesOf(expression: Expression): readonly Expression[] {
  switch (expression.kind) {
    case 'and':
    case 'or':
      return [...leavesOf(expression.left), ...leavesOf(expression.right)];
    case 'not':
      return leavesOf(expression.of);
    case 'if':
      return [expression.test, expression.yes, expression.no].flatMap(leavesOf);
    default:
      return [expression];
  }
}

/**
 * Splits clauses into conditions and tells of each how it came out.
 *
 * Cedar's expressions have no effects and no variables of their own, so an operand of `&&` has the same value alone as in its
 * place: evaluated one by one, in order, the first that is not true is exactly where Cedar stops, and as what (false or error).
 * Those after it are reported by what they are alone, but as `not_reached` where alone they only err: nearly always for want of
 * what an earlier `has` has just found missing.
 */
export class Judge {
  readonly #truthOf: TruthOf;
  readonly #sight: Sight;

  constructor(truthOf: TruthOf, sight: Sight) {
    this.#truthOf = truthOf;
    this.#sight = sight;
  }

  /** Judges clauses that must all hold, in order. */
  clauses(clauses: readonly Clause[]): Judgement {
    const conditions: Condition[] = [];
    let decided: Judgement['outcome'] = 'holds';
    for (const clause of clauses) {
      const judged = this.#judge(clause);
      conditions.push(...(decided === 'holds' ? judged.conditions : judged.conditions.map(unreached)));
      if (decided === 'holds') decided = judged.outcome;
    }
    return { outcome: decided, conditions };
  }

  #judge(whole: Clause): Judgement {
    const { expression, wanted } = whole;
    const part = (expression: Expression, wanted: boolean): Clause => ({ ...whole, expression, wanted });
    switch (expression.kind) {
      case 'not':
        return this.#judge(part(expression.of, !wanted));
      case 'and':
      case 'or': {
        const parts = [part(expression.left, wanted), part(expression.right, wanted)];
        const allWanted = (expression.kind === 'and') === wanted;
        return allWanted ? this.clauses(parts) : this.#alternatives(whole, parts);
      }
      case 'if': {
        const test = this.#valueOf(expression.test);
        if (test === 'error') return this.#judge(part(expression.test, true));
        const branch = test ? expression.yes : expression.no;
        return this.clauses([part(expression.test, test), part(branch, wanted)]);
      }
      default:
        return this.#leaf(whole);
    }
  }

  #valueOf(expression: Expression): boolean | 'error' {
    switch (expression.kind) {
      case 'not': {
        const value = this.#valueOf(expression.of);
        return value === 'error' ? value : !value;
      }
      case 'and':
      case 'or': {
        const left = this.#valueOf(expression.left);
        return left === (expression.kind === 'and') ? this.#valueOf(expression.right) : left;
      }
      case 'if': {
        const test = this.#valueOf(expression.test);
        return test === 'error' ? test : this.#valueOf(test ? expression.yes : expression.no);
      }
      default: {
        const truth = this.#truthOf(expression);
        return typeof truth === 'object' ? 'error' : truth;
      }
    }
  }

  #leaf({ clause, expression, wanted }: Clause): Judgement {
    const truth = this.#truthOf(expression);
    const outcome = typeof truth === 'object' ? 'error' : truth === wanted ? 'holds' : 'fails';
    // `when { true }` asks nothing.
    if (expression.kind === 'value' && outcome === 'holds') return { outcome, conditions: [] };
    const text = cut(expressionText(expression), MAX_TEXT_LENGTH);
    const words = wordsFor(expression, truth, this.#sight);
    const values = seenValues(expression, this.#sight);
    return { outcome, conditions: [{ clause, text, wanted, outcome, words, values }] };
  }

  /** The first alternative that holds is enough; an error before it is an error of the whole. */
  #alternatives(whole: Clause, parts: readonly Clause[]): Judgement {
    const failed: Condition[] = [];
    for (const part of parts) {
      const { outcome, conditions } = this.#judge(part);
      if (outcome === 'holds') return { outcome, conditions };
      const group = allOf(
        part,
        outcome,
        conditions.filter((condition) => condition.outcome !== 'holds'),
      );
      failed.push(...(group.anyOf ?? [group]));
      if (outcome === 'error') return { outcome, conditions: [anyOf(whole, outcome, failed)] };
    }
    return { outcome: 'fails', conditions: [anyOf(whole, 'fails', failed)] };
  }
}

function unreached(condition: Condition): Condition {
  const { anyOf, allOf, outcome } = condition;
  return {
    ...condition,
    outcome: outcome === 'error' ? 'not_reached' : outcome,
    ...(anyOf && { anyOf: anyOf.map(unreached) }),
    ...(allOf && { allOf: allOf.map(unreached) }),
  };
}

function allOf(part: Clause, outcome: 'fails' | 'error', conditions: readonly Condition[]): Condition {
  const [only] = conditions;
  if (only && conditions.length === 1) return only;
  const words = wordsOf(conditions.filter(stoodInTheWay)).join(' and ');
  return { ...groupOf(part, outcome), words: cut(words, MAX_WORDS_LENGTH), allOf: conditions };
}

function anyOf(whole: Clause, outcome: 'fails' | 'error', conditions: readonly Condition[]): Condition {
  const [only] = conditions;
  if (only && conditions.length === 1) return only;
  const words = `any one of these would have to differ: ${wordsOf(conditions).join('; ')}`;
  return { ...groupOf(whole, outcome), words: cut(words, MAX_WORDS_LENGTH), anyOf: conditions };
}

function wordsOf(conditions: readonly Condition[]): readonly string[] {
  return conditions.slice(0, MAX_GROUP).map(({ words }) => words);
}

function groupOf({ clause, expression, wanted }: Clause, outcome: 'fails' | 'error') {
  const text = cut(expressionText(expression), MAX_TEXT_LENGTH);
  return { clause, text, wanted, outcome, values: [] };
}

/** Whether a condition stood in the way. */
export function stoodInTheWay({ outcome }: Condition): boolean {
  return outcome === 'fails' || outcome === 'error';
}
