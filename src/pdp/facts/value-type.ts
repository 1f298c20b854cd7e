import type { AttributeRecord, AttributeValue } from '../attribute.ts';
import type { Reads, RecordShape, ValueType } from '../policy-snapshot.ts';
import { EXTENSION_TEXTS } from './extension-text.ts';

/** A type as an author writes it: `String`, `Set<Long>`, `Clinic::Doctor`, `ipaddr`; any record is `Record`. */
export function typeText(type: ValueType): string {
  switch (type.kind) {
    case 'set':
      return `Set<${typeText(type.element)}>`;
    case 'entity':
      return type.type;
    case 'extension':
      return type.name;
    default:
      return WORDS[type.kind];
  }
}

const WORDS = { string: 'String', long: 'Long', bool: 'Bool', record: 'Record' } as const;

/** Names of which a record is reduced to before Cedar sees it, beside those it requires; see `fitRecord`. */
export type Names = ReadonlySet<string> | 'all';

/**
 * Why the engine would not take a value for one of the declared type, in words after the attribute's name and without the value;
 * `undefined` where it takes it. Parts of records that are not sent to the engine do not matter.
 */
export function typeProblem(
  path: string,
  value: AttributeValue,
  type: ValueType,
  names: Names,
  reads: Reads,
): string | undefined {
  switch (type.kind) {
    case 'set':
      return setProblem(path, value, type, reads);
    case 'record':
      if (!isRecord(value)) return mismatch(path, value, type);
      return recordProblem(`${path}.`, value, type.shape, names, reads);
    case 'entity':
      return isReference(value, type) ? undefined : mismatch(path, value, type);
    case 'extension':
      return typeof value === 'string' && EXTENSION_TEXTS[type.name]?.(value) === true
        ? undefined
        : mismatch(path, value, type);
    default:
      return kindOf(value) === type.kind ? undefined : mismatch(path, value, type);
  }
}

function setProblem(
  path: string,
  value: AttributeValue,
  type: ValueType & { readonly kind: 'set' },
  reads: Reads,
): string | undefined {
  if (!Array.isArray(value)) return mismatch(path, value, type);
  for (const item of value as readonly AttributeValue[]) {
    // A set is compared by its members, so that each of them is sent whole.
    const problem = typeProblem(`${path}[]`, item, type.element, 'all', reads);
    if (problem !== undefined) return problem;
  }
  return undefined;
}

function recordProblem(
  prefix: string,
  record: AttributeRecord,
  shape: RecordShape,
  names: Names,
  reads: Reads,
): string | undefined {
  for (const [name, { required, type }] of shape.fields) {
    const value = Object.hasOwn(record, name) ? record[name] : undefined;
    if (value === undefined) {
      if (required) return `'${prefix}${name}' is missing, the schema requires it`;
      continue;
    }
    if (!required && names !== 'all' && !names.has(name)) continue;
    const inner = names === 'all' || reads.wholeAttributes.has(name) ? 'all' : reads.attributes;
    const problem = typeProblem(`${prefix}${name}`, value, type, inner, reads);
    if (problem !== undefined) return problem;
  }
  return undefined;
}

function isReference(value: AttributeValue, { type, ids }: ValueType & { readonly kind: 'entity' }): boolean {
  if (!isRecord(value) || !Object.hasOwn(value, 'type') || !Object.hasOwn(value, 'id')) return false;
  const { type: named, id } = value;
  return named === type && typeof id === 'string' && (ids === undefined || ids.has(id));
}

function isRecord(value: AttributeValue): value is AttributeRecord {
  return typeof value === 'object' && !Array.isArray(value);
}

function mismatch(path: string, value: AttributeValue, type: ValueType): string {
  const kind = kindOf(value);
  const declared = typeText(type);
  return kind === 'string' && type.kind === 'extension'
    ? `'${path}' is a string that is no ${declared}`
    : `'${path}' is a ${kind}, the schema says ${declared}`;
}

function kindOf(value: AttributeValue): string {
  if (typeof value === 'string') return 'string';
  if (typeof value === 'boolean') return 'bool';
  if (typeof value === 'number') return Number.isSafeInteger(value) ? 'long' : 'fraction';
  return Array.isArray(value) ? 'set' : 'record';
}
