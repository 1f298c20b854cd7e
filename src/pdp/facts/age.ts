import type { AttributeRecord, AttributeValue } from '../attribute.ts';
import type { FieldShape, Reads, RecordShape, ValueType } from '../policy-snapshot.ts';
import type { Names } from './value-type.ts';

/** When attributes were observed, and what comes of that. */
export interface Ageing {
  /** Unix ms; not after `now`. */
  readonly observedAt: number;
  /** Unix ms. */
  readonly now: number;
  readonly reads: Reads;
  /** Paths of the attributes that are too old. */
  readonly tooOld: string[];
  /** Unix ms until which those that are used may be. */
  usableUntil: number;
}

/**
 * A record without the attributes that the schema says are too old by now, at any depth; the record itself where none is. What policies do
 * not read stays as it is. `prefix`: the path of the record with a dot, or ''.
 */
export function withoutAged(
  prefix: string,
  record: AttributeRecord,
  shape: RecordShape,
  names: Names,
  ageing: Ageing,
): AttributeRecord {
  let kept: Map<string, AttributeValue> | undefined;
  for (const name of shape.ageing ?? []) {
    const [value, field] = [Object.hasOwn(record, name) ? record[name] : undefined, shape.fields.get(name)];
    if (value === undefined || !field || (names !== 'all' && !names.has(name))) continue;
    const inner = names === 'all' || ageing.reads.wholeAttributes.has(name) ? 'all' : ageing.reads.attributes;
    const young = ofField(`${prefix}${name}`, value, field, inner, ageing);
    if (young === value) continue;
    kept ??= new Map(Object.entries(record));
    if (young === undefined) kept.delete(name);
    else kept.set(name, young);
  }
  return kept ? Object.fromEntries(kept) : record;
}

function ofField(
  path: string,
  value: AttributeValue,
  { maxAgeMs, type }: FieldShape,
  names: Names,
  ageing: Ageing,
): AttributeValue | undefined {
  if (maxAgeMs !== undefined) {
    const until = ageing.observedAt + maxAgeMs;
    if (until < ageing.now) {
      ageing.tooOld.push(path);
      return undefined;
    }
    ageing.usableUntil = Math.min(ageing.usableUntil, until);
  }
  return within(path, value, type, names, ageing);
}

function within(
  path: string,
  value: AttributeValue,
  type: ValueType,
  names: Names,
  ageing: Ageing,
): AttributeValue {
  if (type.kind === 'set' && Array.isArray(value)) {
    const items = value as readonly AttributeValue[];
    const young = items.map((item) => within(path, item, type.element, 'all', ageing));
    return young.some((item, at) => item !== items[at]) ? young : value;
  }
  if (type.kind !== 'record' || typeof value !== 'object' || Array.isArray(value)) return value;
  return withoutAged(`${path}.`, value as AttributeRecord, type.shape, names, ageing);
}
