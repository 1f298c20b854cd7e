import type { FieldShape, PolicySnapshot, Reads, RecordShape, ValueType } from '../../pdp/policy-snapshot.ts';
import type { Names } from '../../pdp/facts/value-type.ts';

/** What a snapshot keeps of a record: what its schema declares and requires, or its policies read. */
export interface Keeping {
  /** Absent: it declares no such record, and keeps nothing of one. */
  readonly shape: RecordShape | undefined;
  /** What policies read at the top level. */
  readonly names: Names;
  readonly reads: Reads;
}

/** Something that one snapshot keeps and another did not, or not for as long. */
export interface Lack {
  /** Names from the top level down. */
  readonly path: readonly string[];
  /** Whether the engine refuses the record without it. */
  readonly required: boolean;
  /** It is within the members of a set: only where the set is there does it matter. */
  readonly ofMembers?: true;
  /** Both keep it, with other maximum ages (ms). */
  readonly ageing?: { readonly was: number | undefined; readonly is: number | undefined };
}

/**
 * What `is` keeps of a record that `was` did not: of these there is no telling from what was recorded whether they were there. Everything
 * else that `is` keeps and the record lacks was not there then.
 */
export function lacksOf(was: Keeping, is: Keeping): readonly Lack[] {
  const lacks: Lack[] = [];
  for (const [name, field] of is.shape?.fields ?? []) {
    if (!keeps(is, name, field)) continue;
    const before = was.shape?.fields.get(name);
    if (!before || !keeps(was, name, before)) lacks.push({ path: [name], required: field.required });
    else lacks.push(...lacksOfField(name, { field: before, ...was }, { field, ...is }));
  }
  return lacks;
}

interface Side extends Keeping {
  readonly field: FieldShape;
}

function keeps({ names }: Keeping, name: string, { required }: FieldShape): boolean {
  return required || names === 'all' || names.has(name);
}

function lacksOfField(name: string, was: Side, is: Side): readonly Lack[] {
  const within = lacksWithin(inside(name, was), inside(name, is), was.field.type, is.field.type);
  const lacks = within.map((lack) => ({ ...lack, path: [name, ...lack.path] }));
  const [before, now] = [was.field.maxAgeMs, is.field.maxAgeMs];
  if (before === now) return lacks;
  return [...lacks, { path: [name], required: false, ageing: { was: before, is: now } }];
}

/** What is read of a record that is an attribute: all of it where policies use it whole, as `fitNamed` has it. */
function inside(name: string, { names, reads }: Side): Omit<Keeping, 'shape'> {
  return { names: names === 'all' || reads.wholeAttributes.has(name) ? 'all' : reads.attributes, reads };
}

function lacksWithin(
  was: Omit<Keeping, 'shape'>,
  is: Omit<Keeping, 'shape'>,
  before: ValueType,
  now: ValueType,
): readonly Lack[] {
  // Where the kinds differ, the engine says so.
  if (now.kind === 'record' && before.kind === 'record')
    return lacksOf({ ...was, shape: before.shape }, { ...is, shape: now.shape });
  if (now.kind !== 'set' || before.kind !== 'set') return [];
  const whole = lacksWithin({ ...was, names: 'all' }, { ...is, names: 'all' }, before.element, now.element);
  // A member of a set has no name of its own: the set is what lacks something.
  return whole.map(({ required }) => ({ path: [], required, ofMembers: true }));
}

/** What a snapshot keeps of the entities of a type. */
export function keepingOf(snapshot: PolicySnapshot, type: string): Keeping {
  return { shape: snapshot.entityShape(type), names: snapshot.reads.attributes, reads: snapshot.reads };
}

/** Types of parents that a snapshot keeps of entities of a type. */
export function parentTypesOf(snapshot: PolicySnapshot, type: string): readonly string[] {
  const types = snapshot.entityShape(type)?.parentTypes ?? new Set<string>();
  return [...types].filter((parent) => snapshot.reads.entityTypes.has(parent));
}
