import { InputError, type Problem } from '../../pdp/errors.ts';
import { isRecord } from '../../pdp/external-json.ts';
import type { LogRecord } from '../read/decision-record.ts';
import { isField, unknownField } from './field-names.ts';

/** Chooses records of a log. */
export interface Filter {
  matches(record: LogRecord): boolean;
  /** As it was written; empty: everything is chosen. */
  readonly text: string;
}

type Test = (record: LogRecord) => boolean;

const EXPRESSION = /^(!?)([A-Za-z_][\w.-]*)(?:(!=|!~|>=|<=|=|~|>|<)(.*))?$/s;
const MAX_EXPRESSIONS = 100;

/**
 * Reads filters: `field=value`, `field!=value`, `field~text` (holds the text; with `*`: matches it as a whole), `field!~text`,
 * `field>number` and its kin, `field` (present), `!field` (absent). All must hold; the word `or` between them begins an alternative. Throws
 * `InputError` with every problem found.
 */
export function parseFilter(expressions: readonly string[]): Filter {
  const problems: Problem[] = [];
  const alternatives: Test[][] = [[]];
  for (const expression of expressions.slice(0, MAX_EXPRESSIONS)) {
    if (expression === 'or') alternatives.push([]);
    else {
      const test = parseTest(expression);
      if (typeof test === 'string') problems.push({ where: expression, message: test });
      alternatives.at(-1)?.push(typeof test === 'string' ? () => false : test);
    }
  }
  if (expressions.length > MAX_EXPRESSIONS)
    problems.push({ where: 'filter', message: `more than ${MAX_EXPRESSIONS} expressions` });
  if (expressions.length > 0 && alternatives.some((tests) => tests.length === 0))
    problems.push({ where: 'or', message: 'must stand between two filters' });
  if (problems.length > 0) throw new InputError('bad filter:', problems);
  return {
    text: expressions.join(' '),
    matches: (record) => alternatives.some((tests) => tests.every((test) => test(record))),
  };
}

/** Whether a word has the form of a filter with an operator: a folder is never taken for one. */
export function hasOperator(word: string): boolean {
  return /^!?[A-Za-z_][\w.-]*(?:!=|!~|[=~<>])/.test(word);
}

/** The test, or why there is none. */
function parseTest(expression: string): Test | string {
  const [, not, path, operator, operand = ''] = EXPRESSION.exec(expression) ?? [];
  if (path === undefined) return 'is no filter: write field=value, field!=value, field~text, or field';
  if (!isField(path)) return unknownField(path);
  if (operator === undefined) {
    const wanted = not === '';
    return (record) => valuesAt(record, path).length > 0 === wanted;
  }
  if (not !== '') return `'!' goes with a field alone; write ${path}!=… or ${path}!~…`;
  return testOf(path, operator, operand);
}

function testOf(path: string, operator: string, operand: string): Test | string {
  if (operator.startsWith('!')) {
    const test = testOf(path, operator.slice(1), operand);
    return typeof test === 'string' ? test : (record) => !test(record);
  }
  const values = operator === '=' ? equals(operand) : operator === '~' ? likes(operand) : undefined;
  if (values)
    return (record) => valuesAt(record, path).some((value) => isScalar(value) && values(textOf(value)));
  const bound = bounded(operand);
  if (bound === undefined) return `'${operand}' is no number and no time to compare with`;
  const compare = COMPARISONS[operator];
  return (record) =>
    valuesAt(record, path).some((value) => {
      const number = bounded(value);
      return number !== undefined && compare?.(number, bound) === true;
    });
}

const COMPARISONS: Readonly<Record<string, (a: number, b: number) => boolean>> = {
  '>': (a, b) => a > b,
  '<': (a, b) => a < b,
  '>=': (a, b) => a >= b,
  '<=': (a, b) => a <= b,
};

/** Numbers, and RFC 3339 times as Unix ms. */
function bounded(value: unknown): number | undefined {
  if (typeof value === 'number') return value;
  if (typeof value !== 'string' || value.trim() === '') return undefined;
  const number = Number(value);
  if (!Number.isNaN(number)) return number;
  const time = /^\d{4}-\d{2}-\d{2}/.test(value) ? Date.parse(value) : Number.NaN;
  return Number.isNaN(time) ? undefined : time;
}

function isScalar(value: unknown): boolean {
  return typeof value !== 'object';
}

function equals(operand: string): (value: string) => boolean {
  return (value) => value === operand;
}

/** Takes time in proportion to the text: there is no way back in it. */
function likes(operand: string): (value: string) => boolean {
  if (!operand.includes('*')) return (value) => value.includes(operand);
  const parts = operand.split('*');
  const [first = '', last = ''] = [parts[0], parts.at(-1)];
  const between = parts.slice(1, -1).filter((part) => part !== '');
  return (value) => {
    if (value.length < first.length + last.length) return false;
    if (!value.startsWith(first) || !value.endsWith(last)) return false;
    let at = first.length;
    for (const part of between) {
      const found = value.indexOf(part, at);
      if (found === -1) return false;
      at = found + part.length;
    }
    return at <= value.length - last.length;
  };
}

/** The values at a path; of lists each item. Nothing where the record has no such field. */
export function valuesAt(record: LogRecord, path: string): readonly unknown[] {
  let found: readonly unknown[] = [record];
  for (const name of path.split('.'))
    found = found.flatMap((value) =>
      isRecord(value) && Object.hasOwn(value, name) ? itemsOf(value[name]) : [],
    );
  return found;
}

/** A value as people write it: texts as they are, the rest as JSON. */
export function textOf(value: unknown): string {
  return typeof value === 'string' ? value : (JSON.stringify(value) ?? '');
}

function itemsOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [value];
}
