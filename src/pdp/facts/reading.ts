import type { AttributeRecord, OnFailure } from '../attribute.ts';
import type { FieldShape, PolicySnapshot, RecordShape, Reads } from '../policy-snapshot.ts';
import type { AttributeSource } from '../ports.ts';
import { type Names, typeProblem } from './value-type.ts';

/** What an attribute becomes a part of: an entity, by its type's shape, or the record of what is known of an address. */
export interface Holder {
  readonly shape: RecordShape;
  /** Which attributes policies read of it. */
  readonly names: Names;
  /** The entity type that groups of it become, where it has groups. */
  readonly groupType?: string;
}

/** An attribute of an answer that is not of the declared type. */
export interface Misfit {
  readonly attribute: string;
  /** In words, without the value. */
  readonly problem: string;
}

/** What the policies of one snapshot can read of one source, about subjects that become one kind of holder. */
export interface Reading {
  /** The readable attributes, `groups` among them. */
  readonly names: readonly string[];
  /** Whether what was known last will do for all of them. */
  readonly staleWillDo: boolean;
  /** What in an answer the engine would not take; remembered for as long as the attributes are. */
  misfits(attributes: AttributeRecord): readonly Misfit[];
}

/** What it means for an attribute that the source cannot answer, or answers wrongly. */
export function meaningOf({ onFailure, onFailureOf }: AttributeSource, attribute: string): OnFailure {
  return onFailureOf?.get(attribute) ?? onFailure;
}

/** Knows what policies can read of sources; worked out once for each snapshot, source and shape. */
export class Readings {
  readonly #bySnapshot = new WeakMap<
    PolicySnapshot,
    Map<AttributeSource, Map<RecordShape, Reading | undefined>>
  >();

  /** `undefined`: nothing of it, so that there is nothing to ask. */
  of(source: AttributeSource, holder: Holder, snapshot: PolicySnapshot): Reading | undefined {
    let bySource = this.#bySnapshot.get(snapshot);
    if (!bySource) this.#bySnapshot.set(snapshot, (bySource = new Map()));
    let byShape = bySource.get(source);
    if (!byShape) bySource.set(source, (byShape = new Map()));
    const known = byShape.get(holder.shape);
    if (known || byShape.has(holder.shape)) return known;
    const reading = readingOf(source, holder, snapshot.reads);
    byShape.set(holder.shape, reading);
    return reading;
  }
}

function readingOf(source: AttributeSource, holder: Holder, reads: Reads): Reading | undefined {
  const names = source.gives.filter((name) =>
    name === 'groups'
      ? holder.groupType !== undefined && reads.entityTypes.has(holder.groupType)
      : isRead(name, holder),
  );
  if (names.length === 0) return undefined;
  const sent = source.gives.flatMap((name) => {
    const field = holder.shape.fields.get(name);
    return field && (field.required || isRead(name, holder)) ? [[name, field] as const] : [];
  });
  const known = new WeakMap<AttributeRecord, readonly Misfit[]>();
  return {
    names,
    staleWillDo: names.every((name) => meaningOf(source, name) === 'last_known'),
    misfits(attributes) {
      let misfits = known.get(attributes);
      if (!misfits) known.set(attributes, (misfits = misfitsIn(attributes, sent, holder.names, reads)));
      return misfits;
    },
  };
}

function isRead(name: string, { shape, names }: Holder): boolean {
  return shape.fields.has(name) && (names === 'all' || names.has(name));
}

const NONE: readonly Misfit[] = [];

function misfitsIn(
  attributes: AttributeRecord,
  sent: readonly (readonly [string, FieldShape])[],
  names: Names,
  reads: Reads,
): readonly Misfit[] {
  let misfits = NONE;
  for (const [attribute, { type }] of sent) {
    const value = Object.hasOwn(attributes, attribute) ? attributes[attribute] : undefined;
    if (value === undefined) continue;
    const inner = names === 'all' || reads.wholeAttributes.has(attribute) ? 'all' : reads.attributes;
    const problem = typeProblem(attribute, value, type, inner, reads);
    if (problem !== undefined) misfits = [...misfits, { attribute, problem }];
  }
  return misfits;
}
