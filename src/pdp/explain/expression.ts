import type { CedarValue } from '../evaluation.ts';

/** A Cedar expression, read from Cedar's JSON policy format. `json` is what it was read from. */
export type Expression = { readonly json: unknown } & (
  | { readonly kind: 'value'; readonly value: CedarValue }
  | { readonly kind: 'variable'; readonly name: Variable }
  | { readonly kind: 'not' | 'negate'; readonly of: Expression }
  | { readonly kind: 'and' | 'or'; readonly left: Expression; readonly right: Expression }
  | {
      readonly kind: 'operation';
      readonly operator: Operator;
      readonly left: Expression;
      readonly right: Expression;
    }
  | { readonly kind: 'attribute'; readonly of: Expression; readonly name: string }
  | { readonly kind: 'has'; readonly of: Expression; readonly names: readonly string[] }
  | { readonly kind: 'like'; readonly of: Expression; readonly pattern: readonly PatternPart[] }
  | { readonly kind: 'is'; readonly of: Expression; readonly type: string; readonly in?: Expression }
  | {
      readonly kind: 'if';
      readonly test: Expression;
      readonly yes: Expression;
      readonly no: Expression;
    }
  | { readonly kind: 'set'; readonly items: readonly Expression[] }
  | { readonly kind: 'record'; readonly entries: readonly (readonly [string, Expression])[] }
  /** `of.name(args)`. */
  | {
      readonly kind: 'method';
      readonly name: string;
      readonly of: Expression;
      readonly args: readonly Expression[];
    }
  /** `name(args)`: a constructor of an extension type. */
  | { readonly kind: 'call'; readonly name: string; readonly args: readonly Expression[] }
);

const VARIABLES = ['principal', 'action', 'resource', 'context'] as const;
const OPERATORS = ['==', '!=', 'in', '<', '<=', '>', '>=', '+', '-', '*'] as const;
const METHODS = ['contains', 'containsAll', 'containsAny', 'getTag', 'hasTag'];
const CONSTRUCTORS = ['ip', 'decimal', 'datetime', 'duration'];

/** A variable of a Cedar policy. */
export type Variable = (typeof VARIABLES)[number];

/** A binary operator that always evaluates both sides. */
export type Operator = (typeof OPERATORS)[number];

/** A part of a `like` pattern. */
export type PatternPart = 'Wildcard' | { readonly Literal: string };

type Json = { readonly [key: string]: unknown };

/** Reads an expression. Throws a `TypeError` for what is not one. */
export function readExpression(json: unknown): Expression {
  const [operator, operand] = onlyMember(json);
  switch (operator) {
    case 'Value':
      return { json, kind: 'value', value: operand as CedarValue };
    case 'Var':
      return { json, kind: 'variable', name: oneOf(VARIABLES, operand) };
    case 'Set':
      return { json, kind: 'set', items: (operand as unknown[]).map(readExpression) };
    case 'Record': {
      const entries = Object.entries(operand as Json);
      return {
        json,
        kind: 'record',
        entries: entries.map(([name, value]) => [name, readExpression(value)]),
      };
    }
    default:
      return Array.isArray(operand)
        ? readFunction(json, operator, operand.map(readExpression))
        : readOperation(json, operator, operand as Json);
  }
}

function readFunction(json: unknown, name: string, args: readonly Expression[]): Expression {
  const [of, ...rest] = args;
  // An unknown extension function is taken for a constructor: it is printed as a call, and nothing is read into it.
  return CONSTRUCTORS.includes(name) || !of
    ? { json, kind: 'call', name, args }
    : { json, kind: 'method', name, of, args: rest };
}

function readOperation(json: unknown, operator: string, operand: Json): Expression {
  const left = () => readExpression(operand['left']);
  const right = () => readExpression(operand['right']);
  switch (operator) {
    case '!':
      return { json, kind: 'not', of: readExpression(operand['arg']) };
    case 'neg':
      return { json, kind: 'negate', of: readExpression(operand['arg']) };
    case '&&':
      return { json, kind: 'and', left: left(), right: right() };
    case '||':
      return { json, kind: 'or', left: left(), right: right() };
    case '.':
      return { json, kind: 'attribute', of: left(), name: textOf(operand['attr']) };
    case 'has':
      return { json, kind: 'has', of: left(), names: [operand['attr']].flat().map(textOf) };
    case 'like':
      return { json, kind: 'like', of: left(), pattern: operand['pattern'] as PatternPart[] };
    case 'is': {
      const within = operand['in'] === undefined ? {} : { in: readExpression(operand['in']) };
      return { json, kind: 'is', of: left(), type: textOf(operand['entity_type']), ...within };
    }
    case 'if-then-else': {
      const [test, yes, no] = ['if', 'then', 'else'].map((part) => readExpression(operand[part]));
      if (test && yes && no) return { json, kind: 'if', test, yes, no };
      break;
    }
    case 'isEmpty':
      return { json, kind: 'method', name: 'isEmpty', of: readExpression(operand['arg']), args: [] };
  }
  if (METHODS.includes(operator))
    return { json, kind: 'method', name: operator, of: left(), args: [right()] };
  return { json, kind: 'operation', operator: oneOf(OPERATORS, operator), left: left(), right: right() };
}

/** The expressions directly inside of one, in the order in which Cedar evaluates them. */
export function childrenOf(expression: Expression): readonly Expression[] {
  switch (expression.kind) {
    case 'value':
    case 'variable':
      return [];
    case 'and':
    case 'or':
    case 'operation':
      return [expression.left, expression.right];
    case 'if':
      return [expression.test, expression.yes, expression.no];
    case 'set':
      return expression.items;
    case 'record':
      return expression.entries.map(([, value]) => value);
    case 'call':
      return expression.args;
    case 'method':
      return [expression.of, ...expression.args];
    case 'is':
      return expression.in ? [expression.of, expression.in] : [expression.of];
    case 'not':
    case 'negate':
    case 'attribute':
    case 'has':
    case 'like':
      return [expression.of];
  }
}

function onlyMember(json: unknown): readonly [string, unknown] {
  const members = typeof json === 'object' && json !== null ? Object.entries(json) : [];
  const [member] = members;
  if (!member || members.length !== 1) throw new TypeError('not an expression in Cedar’s JSON format');
  return member;
}

function oneOf<T extends string>(known: readonly T[], value: unknown): T {
  const found = known.find((one) => one === value);
  if (found === undefined) throw new TypeError(`Cedar has no ${String(value)} that is known here`);
  return found;
}

function textOf(value: unknown): string {
  if (typeof value !== 'string') throw new TypeError('a name is not a string');
  return value;
}
