import type { CedarValue } from '../evaluation.ts';
import type { SeenValue } from './explanation.ts';
import { type Expression, childrenOf } from './expression.ts';
import { expressionText, referenceIn, valueText } from './expression-text.ts';
import { type Provenance, type Provenances, ageText } from './provenance.ts';
import type { FoundValue, RequestValues } from './request-values.ts';

const MAX_VALUE_LENGTH = 200;
const MAX_VALUES = 4;

/** What words are made of: the request's values, where they came from, and when that is told. */
export interface Sight {
  readonly values: RequestValues;
  readonly provenances: Provenances;
  /** Unix ms. */
  readonly now: number;
}

/** Cuts a text that is too long to be read; never through a character. */
export function cut(text: string, length = MAX_VALUE_LENGTH): string {
  return text.length <= length ? text : `${text.slice(0, length).replace(/[\ud800-\udbff]$/, '')}…`;
}

/** One side of a test, as far as it can be put in words. */
export interface Operand {
  readonly path: string;
  readonly value: CedarValue;
  /** The value in Cedar's syntax, cut. */
  readonly text: string;
  /** `context.device.risk is "high"`. */
  readonly state: string;
  /** Written out in the policy, rather than read from the request. */
  readonly literal: boolean;
}

/** Reads a side of a test; `undefined`: it is computed, or the request does not hold it. */
export function operand(expression: Expression, { values }: Sight): Operand | undefined {
  if (isWrittenOut(expression)) {
    const path = cut(expressionText(expression));
    const value = expression.kind === 'value' ? expression.value : {};
    return { path, value, text: path, state: path, literal: true };
  }
  const found = values.find(expression);
  if (!found || 'missing' in found || found.path === 'context') return undefined;
  const text = cut(valueText(found.value));
  return { ...found, text, state: `${found.path} is ${text}`, literal: false };
}

function isWrittenOut(expression: Expression): boolean {
  if (expression.kind === 'value') return true;
  const { kind } = expression;
  return (
    (kind === 'set' || kind === 'record' || kind === 'call') && childrenOf(expression).every(isWrittenOut)
  );
}

/** The values that an expression reads, with their sources. Variables are left out: every explanation names them. */
export function seenValues(expression: Expression, sight: Sight): readonly SeenValue[] {
  const found = new Map(readBy(expression, sight).map((one) => [one.path, one]));
  return [...found.values()].slice(0, MAX_VALUES).map(({ path, value, origin }) => {
    const provenance = origin && sight.provenances.ofValue(origin, value);
    return { path, value: cut(valueText(value)), ...(provenance && seenSource(provenance, sight)) };
  });
}

function seenSource({ source, observedAt }: Provenance, { now }: Sight): Pick<SeenValue, 'source' | 'ageMs'> {
  return { source, ...(observedAt !== undefined && { ageMs: Math.max(0, now - observedAt) }) };
}

function readBy(expression: Expression, sight: Sight): FoundValue[] {
  if (expression.kind === 'value' || expression.kind === 'variable') return [];
  const found =
    expression.kind === 'has'
      ? sight.values.walk(expression.of, expression.names)
      : sight.values.find(expression);
  if (found && !('missing' in found)) return [found];
  return childrenOf(expression).flatMap((child) => readBy(child, sight));
}

/** ` (source: jamf, 4 s old)` for what an expression reads, and for the membership it finds; empty where no source gave it. */
export function sourcesText(expression: Expression, truth: boolean, sight: Sight): string {
  const values = readBy(expression, sight).flatMap(({ origin, value }) =>
    origin ? [sight.provenances.ofValue(origin, value)] : [],
  );
  const all = [...values, truth ? membershipOf(expression, sight) : undefined].flatMap((one) => one ?? []);
  const texts = all.map(({ source, observedAt, stale }) => {
    const age = observedAt === undefined ? '' : `, ${ageText(sight.now - observedAt)}`;
    return `source: ${source}${age}${stale ? ', stale' : ''}`;
  });
  return texts.length === 0 ? '' : ` (${[...new Set(texts)].join('; ')})`;
}

function membershipOf(expression: Expression, { values, provenances }: Sight): Provenance | undefined {
  const [member, groups] = membership(expression) ?? [];
  const found = member && values.find(member);
  const entity = found && !('missing' in found) ? referenceIn(found.value) : undefined;
  const targets = groups?.kind === 'set' ? groups.items : groups ? [groups] : [];
  for (const target of entity ? targets : []) {
    const group = target.kind === 'value' ? referenceIn(target.value) : undefined;
    const provenance = entity && group && provenances.ofMembership(entity, group);
    if (provenance) return provenance;
  }
  return undefined;
}

function membership(expression: Expression): readonly [Expression, Expression] | undefined {
  if (expression.kind === 'operation' && expression.operator === 'in')
    return [expression.left, expression.right];
  return expression.kind === 'is' && expression.in ? [expression.of, expression.in] : undefined;
}
