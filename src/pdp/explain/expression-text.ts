import type { CedarValue, EntityUid } from '../evaluation.ts';
import type { Expression, PatternPart } from './expression.ts';

/** How tightly the forms of an expression bind, after Cedar's grammar. */
const BINDING = { if: 0, or: 1, and: 2, relation: 3, add: 4, multiply: 5, unary: 6, member: 7 } as const;

/** Words that cannot stand where Cedar wants an identifier. */
const RESERVED = /^(?:true|false|if|then|else|in|is|like|has|__cedar)$/;

/** An expression in Cedar's own syntax, with no more parentheses than it needs. */
export function expressionText(expression: Expression): string {
  return print(expression, BINDING.if);
}

/** A text in quotes, as Cedar writes it. What cannot be seen, or changes how the rest is shown, is escaped. */
function quoted(text: string): string {
  return `"${escaped(text)}"`;
}

/** A reference as Cedar writes it. */
export function referenceText(uid: EntityUid): string {
  return `${uid.type}::${quoted(uid.id)}`;
}

/** The entity that a value refers to; with a schema Cedar takes references with and without the `__entity` escape. */
export function referenceIn(value: CedarValue): EntityUid | undefined {
  if (typeof value !== 'object') return undefined;
  const uid = '__entity' in value ? value['__entity'] : value;
  const { type, id } = uid as { readonly type?: unknown; readonly id?: unknown };
  if (typeof type !== 'string' || typeof id !== 'string' || Object.keys(uid).length !== 2) return undefined;
  return /^\w+(?:::\w+)*$/.test(type) ? { type, id } : undefined;
}

/** A value in Cedar's syntax. */
export function valueText(value: CedarValue): string {
  if (typeof value === 'string') return quoted(value);
  if (typeof value !== 'object') return String(value);
  if (Array.isArray(value)) return `[${value.map(valueText).join(', ')}]`;
  const reference = referenceIn(value);
  if (reference) return referenceText(reference);
  if ('__extn' in value) return extensionText(value['__extn']);
  const entries = Object.entries(value as { readonly [name: string]: CedarValue });
  return `{${entries.map(([name, item]) => `${nameText(name)}: ${valueText(item)}`).join(', ')}}`;
}

function extensionText(extension: unknown): string {
  const { fn, arg, args } = extension as { fn?: unknown; arg?: CedarValue; args?: readonly CedarValue[] };
  const all = args ?? (arg === undefined ? [] : [arg]);
  return `${String(fn)}(${all.map(valueText).join(', ')})`;
}

function print(expression: Expression, within: number): string {
  const [text, binding] = printed(expression);
  return binding < within ? `(${text})` : text;
}

function printed(expression: Expression): readonly [text: string, binding: number] {
  switch (expression.kind) {
    case 'value': {
      const { value } = expression;
      return [valueText(value), typeof value === 'number' && value < 0 ? BINDING.unary : BINDING.member];
    }
    case 'variable':
      return [expression.name, BINDING.member];
    case 'not':
      return [`!${print(expression.of, BINDING.member)}`, BINDING.unary];
    case 'negate':
      return [`-${negated(expression.of)}`, BINDING.unary];
    case 'and':
      return [chain(expression.left, '&&', expression.right, BINDING.and), BINDING.and];
    case 'or':
      return [chain(expression.left, '||', expression.right, BINDING.or), BINDING.or];
    case 'operation':
      return printOperation(expression);
    case 'if': {
      const [test, yes, no] = [expression.test, expression.yes, expression.no].map(expressionText);
      return [`if ${test} then ${yes} else ${no}`, BINDING.if];
    }
    case 'attribute':
      return [`${print(expression.of, BINDING.member)}${accessText(expression.name)}`, BINDING.member];
    case 'has':
    case 'like':
    case 'is':
      return [printTest(expression), BINDING.relation];
    case 'set':
      return [`[${expression.items.map(expressionText).join(', ')}]`, BINDING.member];
    case 'record': {
      const entries = expression.entries.map(([name, item]) => `${nameText(name)}: ${expressionText(item)}`);
      return [`{${entries.join(', ')}}`, BINDING.member];
    }
    case 'method':
    case 'call': {
      const call = `${expression.name}(${expression.args.map(expressionText).join(', ')})`;
      const of = expression.kind === 'method' ? `${print(expression.of, BINDING.member)}.` : '';
      return [`${of}${call}`, BINDING.member];
    }
  }
}

function printOperation({ operator, left, right }: Expression & { readonly kind: 'operation' }) {
  if (operator === '*') return [chain(left, operator, right, BINDING.multiply), BINDING.multiply] as const;
  if (operator === '+' || operator === '-')
    return [chain(left, operator, right, BINDING.add), BINDING.add] as const;
  // Relations do not chain.
  const text = `${print(left, BINDING.add)} ${operator} ${print(right, BINDING.add)}`;
  return [text, BINDING.relation] as const;
}

function printTest(expression: Expression & { readonly kind: 'has' | 'like' | 'is' }): string {
  const of = print(expression.of, BINDING.add);
  switch (expression.kind) {
    case 'has':
      return `${of} has ${expression.names.map(nameText).join('.')}`;
    case 'like':
      return `${of} like ${patternText(expression.pattern)}`;
    case 'is': {
      const within = expression.in ? ` in ${print(expression.in, BINDING.add)}` : '';
      return `${of} is ${expression.type}${within}`;
    }
  }
}

function chain(left: Expression, operator: string, right: Expression, binding: number): string {
  return `${print(left, binding)} ${operator} ${print(right, binding + 1)}`;
}

/** `-3` is a literal to Cedar, `-(3)` a negation. */
function negated(of: Expression): string {
  const literal = of.kind === 'value' && typeof of.value === 'number';
  return literal ? `(${expressionText(of)})` : print(of, BINDING.member);
}

/** A `like` pattern as Cedar writes it. */
export function patternText(pattern: readonly PatternPart[]): string {
  const parts = pattern.map((part) =>
    part === 'Wildcard' ? '*' : escaped(part.Literal).replaceAll('*', '\\*'),
  );
  return `"${parts.join('')}"`;
}

/** `.name`, or `["name"]` where the name is no identifier. */
export function accessText(name: string): string {
  return isIdentifier(name) ? `.${name}` : `[${quoted(name)}]`;
}

/** A name of an attribute on its own: bare, or quoted where it is no identifier. */
export function nameText(name: string): string {
  return isIdentifier(name) ? name : quoted(name);
}

function isIdentifier(name: string): boolean {
  return /^[A-Za-z_]\w*$/.test(name) && !RESERVED.test(name);
}

function escaped(text: string): string {
  return text
    .replace(/["\\]/g, '\\$&')
    .replace(/[\p{C}\p{Zl}\p{Zp}]/gu, (character) => `\\u{${character.codePointAt(0)?.toString(16)}}`);
}
