import { EXTENSION_TEXTS } from '../facts/extension-text.ts';
import type { RecordShape, ValueType } from '../policy-snapshot.ts';

/**
 * Whether the engine would surely take a value for one of the declared type. Some that it would take are not, those in unusual spellings:
 * who asks lets the engine say then.
 */
export function conforms(value: unknown, type: ValueType): boolean {
  switch (type.kind) {
    case 'string':
      return isText(value);
    case 'long':
      return Number.isSafeInteger(value);
    case 'bool':
      return typeof value === 'boolean';
    case 'set':
      return Array.isArray(value) && value.every((item) => conforms(item, type.element));
    case 'record':
      return isPlain(value) && recordConforms(value, type.shape);
    case 'entity':
      return isReference(value, type);
    case 'extension':
      return typeof value === 'string' && EXTENSION_TEXTS[type.name]?.(value) === true;
  }
}

function recordConforms(record: Plain, { fields }: RecordShape): boolean {
  for (const name of Object.keys(record)) if (!fields.has(name)) return false;
  for (const [name, { required, type }] of fields) {
    const value = Object.hasOwn(record, name) ? record[name] : undefined;
    if (value === undefined ? required : !conforms(value, type)) return false;
  }
  return true;
}

function isReference(value: unknown, { type, ids }: ValueType & { readonly kind: 'entity' }): boolean {
  const uid = uidIn(value);
  return uid?.type === type && isText(uid.id) && (ids === undefined || ids.has(uid.id));
}

/** The uid in a reference, with the `__entity` escape or without; `undefined` for anything else. */
export function uidIn(value: unknown): { readonly type: string; readonly id: string } | undefined {
  if (!isPlain(value)) return undefined;
  const escaped = Object.hasOwn(value, '__entity');
  if (escaped && Object.keys(value).length !== 1) return undefined;
  const uid = escaped ? value['__entity'] : value;
  return isUid(uid) ? uid : undefined;
}

/** Whether this is `{type, id}` and nothing more. */
export function isUid(value: unknown): value is { readonly type: string; readonly id: string } {
  return (
    isPlain(value) &&
    typeof value['type'] === 'string' &&
    typeof value['id'] === 'string' &&
    Object.keys(value).length === 2
  );
}

/** Text that JSON can carry: half of a surrogate pair cannot reach the engine. */
export function isText(value: unknown): value is string {
  return typeof value === 'string' && value.isWellFormed();
}

type Plain = { readonly [name: string]: unknown };

/** Whether this is an object that is no array. */
export function isPlain(value: unknown): value is Plain {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
