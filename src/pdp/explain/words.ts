import { type Expression, childrenOf } from './expression.ts';
import { expressionText } from './expression-text.ts';
import type { MissingValue, RequestValues } from './request-values.ts';
import { type Sight, cut, seenValues, sourcesText } from './sight.ts';
import { absenceText, stateWords } from './state-words.ts';

/** What an expression evaluated to, by the engine. */
export type Truth = boolean | { readonly error: string };

/**
 * The state of affairs behind an expression that cannot be split further, in words, with the source and age of what it read.
 * Where there are no words for it: its text, and what it evaluated to.
 */
export function wordsFor(expression: Expression, truth: Truth, sight: Sight): string {
  if (typeof truth === 'object') return errorWords(expression, truth.error, sight);
  const words = stateWords(expression, truth, sight);
  if (words !== undefined) return `${words}${sourcesText(expression, truth, sight)}`;
  const seen = seenValues(expression, sight).map(({ path, value }) => `${path} is ${value}`);
  const where = seen.length === 0 ? '' : `, where ${seen.join(' and ')}`;
  return `${cut(expressionText(expression))} is ${truth}${where}${sourcesText(expression, truth, sight)}`;
}

function errorWords(expression: Expression, error: string, { values, provenances }: Sight): string {
  const text = cut(expressionText(expression));
  const missing = firstMissing(expression, values);
  if (!missing) return `${text} cannot be evaluated: ${cut(error)}`;
  return `${missing.missing}, which ${text} needs${absenceText(missing, provenances)}`;
}

/** The first value that Cedar would miss. Parts that it may never look at do not count. */
function firstMissing(expression: Expression, values: RequestValues): MissingValue | undefined {
  const found = expression.kind === 'has' ? undefined : values.find(expression);
  if (found) return 'missing' in found ? found : undefined;
  const { kind } = expression;
  const children = childrenOf(expression);
  for (const child of kind === 'and' || kind === 'or' || kind === 'if' ? children.slice(0, 1) : children) {
    const missing = firstMissing(child, values);
    if (missing) return missing;
  }
  return undefined;
}
