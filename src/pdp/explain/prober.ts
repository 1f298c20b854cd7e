import type { CedarChecker } from '../cedar.ts';
import type { CedarRequest } from '../evaluation.ts';
import type { ExplainablePolicy } from './explanation.ts';
import { readExpression } from './expression.ts';
import { expressionText } from './expression-text.ts';
import type { Truth } from './words.ts';

/** Calls of the engine for one explanation, at most: odd policies are told apart by asking again about fewer. */
const MAX_CALLS = 64;

/** Levels of JSON that the engine's reader takes, with room for the policy around an expression. */
const MAX_DEPTH = 100;

const ALL = { op: 'All' };

/** Asks the real engine what expressions of a request evaluate to, many at a time. */
export class Prober {
  readonly #checker: CedarChecker;
  readonly #schema: string;
  readonly #request: CedarRequest;
  #calls = 0;

  constructor(checker: CedarChecker, schema: string, request: CedarRequest) {
    this.#checker = checker;
    this.#schema = schema;
    this.#request = request;
  }

  /**
   * What policies and expressions evaluate to, by the keys they are given under. Those that the engine does not take in this form
   * are missing in the answer.
   */
  evaluate(permits: ReadonlyMap<string, object | string>): Map<string, Truth> {
    const truths = new Map<string, Truth>();
    this.#ask([...permits], truths);
    return truths;
  }

  #ask(permits: readonly (readonly [string, object | string])[], truths: Map<string, Truth>): void {
    if (permits.length === 0 || this.#calls >= MAX_CALLS) return;
    this.#calls += 1;
    // Ids of our own: keys may be anything.
    const byId = Object.fromEntries(permits.map(([, permit], index) => [`p${index}`, permit]));
    const answer = this.#checker.holding(byId, this.#schema, this.#request);
    if ('complaints' in answer) {
      if (permits.length === 1) return;
      const half = permits.length >> 1;
      this.#ask(permits.slice(0, half), truths);
      this.#ask(permits.slice(half), truths);
      return;
    }
    for (const [index, [key]] of permits.entries()) {
      const error = answer.errors.get(`p${index}`);
      truths.set(key, error === undefined ? answer.holding.has(`p${index}`) : { error: errorText(error) });
    }
  }
}

/** A permit that holds where an expression is true; `undefined`: JSON does not carry the expression. */
export function permitWhere({ json }: { readonly json: unknown }): object | string | undefined {
  if (!isCarried(json)) return undefined;
  if (!isCarried(json, MAX_DEPTH))
    return `permit (principal, action, resource) when { ${expressionText(readExpression(json))} };`;
  const conditions = [{ kind: 'when', body: json }];
  return { effect: 'permit', principal: ALL, action: ALL, resource: ALL, conditions };
}

/** A permit that holds where a policy does; `undefined`: there is no telling without the policy's own engine. */
export function permitLike({ effect, json, text }: ExplainablePolicy): object | string | undefined {
  const { annotations: _, ...rest } = json as { readonly annotations?: unknown };
  if (isCarried(rest, MAX_DEPTH)) return { ...rest, effect: 'permit' };
  return effect === 'permit' ? text : undefined;
}

/**
 * Whether JSON holds what was written: a Long beyond 2^53 was rounded when it was read, for Cedar's have 64 bits and ours 53.
 * Deeper than `depth` does not count as carried either; what an engine has loaded is never as deep as the default.
 */
export function isCarried(json: unknown, depth = 2000): boolean {
  if (typeof json === 'number') return Number.isSafeInteger(json);
  if (typeof json !== 'object' || json === null) return true;
  return depth > 0 && Object.values(json).every((child) => isCarried(child, depth - 1));
}

function errorText(message: string): string {
  return message.replace(/^error while evaluating policy `[^`]*`: /, '');
}
