import type { LeftOut } from '../attribute.ts';
import type { Expression, Operator } from './expression.ts';
import { expressionText, patternText, referenceIn, valueText } from './expression-text.ts';
import type { Provenances } from './provenance.ts';
import type { MissingValue } from './request-values.ts';
import { type Operand, type Sight, cut, operand } from './sight.ts';

/** Words for what reads one value and tests it; `undefined`: there are none, or they would contradict the engine. */
export function stateWords(expression: Expression, truth: boolean, sight: Sight): string | undefined {
  switch (expression.kind) {
    case 'value':
      return `the policy says ${valueText(expression.value)}`;
    case 'attribute':
      return valueWords(expression, truth, sight);
    case 'has':
      return hasWords(expression, truth, sight);
    case 'like': {
      const seen = operand(expression.of, sight);
      return (
        seen &&
        `${seen.state}, which ${truth ? 'matches' : 'does not match'} ${patternText(expression.pattern)}`
      );
    }
    case 'is':
      return isWords(expression, truth, sight);
    case 'operation':
      return operationWords(expression, truth, sight);
    case 'method':
      return expression.name === 'getTag'
        ? valueWords(expression, truth, sight)
        : methodWords(expression, truth, sight);
    default:
      return undefined;
  }
}

function valueWords(expression: Expression, truth: boolean, sight: Sight): string | undefined {
  const seen = operand(expression, sight);
  return seen?.value === truth ? seen.state : undefined;
}

const LEFT_OUT_WORDS: Readonly<Record<LeftOut, (source: string) => string>> = {
  too_old: (source) => `what ${source} knows is too old`,
  unavailable: (source) => `${source} could not answer`,
  wrong_type: (source) => `${source} gave one of another type`,
};

/** ` (jamf does not know it)` for a value that is missing because a source does not know the entity, could not answer, or knew it long ago. */
export function absenceText({ origin }: MissingValue, provenances: Provenances): string {
  if (!origin) return '';
  const absent = origin.names.length <= 1 ? provenances.absentAt(origin.entity) : [];
  const texts = provenances.leftOutAt(origin).map(([source, why]) => LEFT_OUT_WORDS[why](source));
  if (absent.length > 0) texts.push(`${absent.join(', ')} does not know it`);
  return texts.length === 0 ? '' : ` (${texts.join('; ')})`;
}

function hasWords(
  { of, names }: Expression & { readonly kind: 'has' },
  truth: boolean,
  { values, provenances }: Sight,
): string | undefined {
  const found = values.walk(of, names);
  if (!found) return undefined;
  if ('missing' in found) return truth ? undefined : `${found.missing}${absenceText(found, provenances)}`;
  const base = values.find(of);
  if (!truth || !base || 'missing' in base) return undefined;
  return `${base.path} has ${found.path.slice(base.path.length).replace(/^\./, '')}`;
}

function isWords(
  { of, type, in: within }: Expression & { readonly kind: 'is' },
  truth: boolean,
  sight: Sight,
): string | undefined {
  const seen = operand(of, sight);
  const entity = seen && referenceIn(seen.value);
  if (!seen || !entity) return undefined;
  if (entity.type !== type) return truth ? undefined : `${seen.path} is a ${entity.type}, not a ${type}`;
  if (!within) return truth ? `${seen.path} is a ${type}` : undefined;
  const group = operand(within, sight);
  if (!group) return undefined;
  return truth ? `${seen.path} is a ${type} in ${group.path}` : `${named(seen)} not in ${group.path}`;
}

const COMPARISONS: Readonly<Partial<Record<Operator, string>>> = {
  '<': 'less than',
  '<=': 'at most',
  '>': 'more than',
  '>=': 'at least',
};
const MIRRORED: Readonly<Partial<Record<Operator, Operator>>> = {
  '<': '>',
  '<=': '>=',
  '>': '<',
  '>=': '<=',
};

function operationWords(
  { operator, left, right }: Expression & { readonly kind: 'operation' },
  truth: boolean,
  sight: Sight,
): string | undefined {
  const a = operand(left, sight);
  const b = operand(right, sight);
  if (!a || !b || (a.literal && b.literal)) return undefined;
  if (operator === '==') return equalityWords(a, b, truth);
  if (operator === '!=') return equalityWords(a, b, !truth);
  if (operator === 'in') return a.literal ? undefined : inWords(a, right, b, truth);
  const mirrored = a.literal ? MIRRORED[operator] : operator;
  const comparison = mirrored && COMPARISONS[mirrored];
  const [subject, bound] = a.literal ? [b, a] : [a, b];
  return comparison && `${subject.state}, which is ${truth ? '' : 'not '}${comparison} ${boundText(bound)}`;
}

function boundText(bound: Operand): string {
  return bound.literal ? bound.text : `${bound.path} (${bound.text})`;
}

function equalityWords(a: Operand, b: Operand, equal: boolean): string | undefined {
  // Texts that differ may stand for equal values (ip("…") and its string), but not the other way round.
  if (!equal && a.text === b.text) return undefined;
  const [subject, other] = a.literal ? [b, a] : [a, b];
  if (equal && other.literal) return subject.state;
  if (equal) return `${subject.path} and ${other.path} are both ${subject.text}`;
  return other.literal ? `${subject.state}, not ${other.text}` : `${subject.state}, but ${other.state}`;
}

function inWords(member: Operand, groups: Expression, all: Operand, truth: boolean): string {
  const several = groups.kind === 'set';
  const texts = several ? groups.items.map(expressionText).join(', ') : boundPath(all);
  if (truth) return `${member.path} is in ${several ? 'one of ' : ''}${cut(texts)}`;
  return `${named(member)} ${several ? 'in none of ' : 'not in '}${cut(texts)}`;
}

function boundPath(bound: Operand): string {
  return bound.literal ? bound.text : `${bound.path}, ${bound.text}`;
}

/** `principal is`, or with the value where the path alone does not tell it: `context.source is Workload::"x", which is`. */
function named(seen: Operand): string {
  const variable = !/[^a-z]/.test(seen.path);
  return variable || seen.literal ? `${seen.path} is` : `${seen.state}, which is`;
}

const METHOD_WORDS: { readonly [name: string]: readonly [yes: string, no: string] } = {
  contains: ['which contains', 'which does not contain'],
  containsAll: ['which contains all of', 'which does not contain all of'],
  containsAny: ['which contains some of', 'which contains none of'],
  isInRange: ['which is in', 'which is not in'],
  lessThan: ['which is less than', 'which is not less than'],
  lessThanOrEqual: ['which is at most', 'which is not at most'],
  greaterThan: ['which is more than', 'which is not more than'],
  greaterThanOrEqual: ['which is at least', 'which is not at least'],
  isEmpty: ['which is empty', 'which is not empty'],
  isIpv4: ['which is an IPv4 address', 'which is not an IPv4 address'],
  isIpv6: ['which is an IPv6 address', 'which is not an IPv6 address'],
  isLoopback: ['which is a loopback address', 'which is not a loopback address'],
  isMulticast: ['which is a multicast address', 'which is not a multicast address'],
};

function methodWords(
  { name, of, args }: Expression & { readonly kind: 'method' },
  truth: boolean,
  sight: Sight,
): string | undefined {
  const receiver = operand(of, sight);
  const [argument] = args.map((arg) => operand(arg, sight));
  if (!receiver || (args.length > 0 && !argument) || args.length > 1) return undefined;
  if (name === 'hasTag' && argument)
    return `${receiver.path} has ${truth ? 'the' : 'no'} tag ${argument.text}`;
  if (name === 'contains' && receiver.literal && argument && !argument.literal)
    return `${argument.state}, which is ${truth ? '' : 'not '}one of ${receiver.text}`;
  const words = METHOD_WORDS[name]?.[truth ? 0 : 1];
  if (words === undefined || receiver.literal) return undefined;
  return `${receiver.state}, ${words}${argument ? ` ${boundText(argument)}` : ''}`;
}
