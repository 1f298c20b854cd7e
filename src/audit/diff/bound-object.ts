import type { AttributeRecord } from '../../pdp/attribute.ts';
import type { BoundResource } from '../../pdp/bindings/binding.ts';
import { type CedarEntity, type CedarValue, uidText } from '../../pdp/evaluation.ts';
import { withoutKnown } from '../../pdp/stages/bind-asserted.ts';
import type { Comparison } from './comparison.ts';
import type { Fresh } from './current-facts.ts';
import { factsThen, isLacking } from './facts-then.ts';
import type { Lack } from './lack.ts';
import type { RecordedFact } from './recorded.ts';
import { type Unknown, unknownAttribute } from './unknown.ts';

/** What the attributes of a bound object are worked out from. */
export interface BoundParts {
  readonly is: BoundResource;
  /** As the binding of then had it. */
  readonly was: BoundResource | undefined;
  /** The entity as it was recorded; absent: it was not in the question. */
  readonly seen: CedarEntity | undefined;
  readonly comparison: Comparison;
  readonly facts: readonly RecordedFact[];
  readonly fresh: Fresh | undefined;
}

/** What is known of a bound object under the new binding, and what is not. */
export interface BoundFacts {
  readonly attributes: AttributeRecord;
  readonly unknowns: readonly Unknown[];
}

/**
 * What the request says of the object, and before that what an information point does. The log holds what both came to under the old
 * binding: it can be told apart only where the old binding said the same, or nothing.
 */
export function boundAttributes(parts: BoundParts): BoundFacts {
  const { is, fresh, comparison } = parts;
  const fixed = comparison.next.staticEntity(uidText(is.uid));
  if (is.pip === undefined) return { attributes: withoutKnown(is.attributes, fixed, []), unknowns: [] };
  const isSame = isSameObject(parts);
  const known = isSame ? knownThen(parts) : { attributes: {}, open: comparison.allAttributes(is.uid.type) };
  const gives = [...(fresh?.gives ?? [])];
  // What was recorded of the same object already holds what was said of it, as far as that counted.
  const said = isSame && !fresh ? {} : withoutKnown(is.attributes, fixed, [{ gives }]);
  const found = Object.entries(known.attributes).filter(([name]) => !gives.includes(name));
  const open = known.open.filter(({ path: [name = ''] }) => !gives.includes(name));
  return {
    attributes: { ...said, ...(Object.fromEntries(found) as AttributeRecord), ...fresh?.attributes },
    unknowns: open.map(({ path, required }) => unknownAttribute(is.uid.type, path, required)),
  };
}

function isSameObject({ is, was, seen }: BoundParts): boolean {
  return (
    seen !== undefined && was?.pip === is.pip && was !== undefined && uidText(was.uid) === uidText(is.uid)
  );
}

function knownThen({ is, was, seen, comparison, facts }: BoundParts): {
  readonly attributes: Readonly<Record<string, CedarValue>>;
  readonly open: readonly Lack[];
} {
  const about = facts.filter(({ subject }) => subject === is.pip);
  const given = about.some(({ found }) => found);
  const { attributes, unsure } = factsThen(seen, comparison, { attribute: () => given, parent: () => false });
  const lacks = comparison.attributeLacks(is.uid.type).filter((lack) => isLacking(lack, attributes, about));
  const fixed = comparison.old.staticEntity(uidText(is.uid))?.attrs ?? {};
  const freed = Object.keys(is.attributes).filter((name) => Object.hasOwn(fixed, name));
  const open = [
    ...unsure,
    ...freed,
    ...otherwiseSaid(is.attributes, was?.attributes ?? {}, comparison.next, is.uid.type),
  ];
  return { attributes, open: [...lacks, ...open.map((name) => ({ path: [name], required: false }))] };
}

/** What the two bindings do not say alike: of these there is no telling whose word was recorded, or would be. */
function otherwiseSaid(
  is: AttributeRecord,
  was: AttributeRecord,
  next: Comparison['next'],
  type: string,
): readonly string[] {
  const names = new Set([...Object.keys(is), ...Object.keys(was)]);
  const fields = next.entityShape(type)?.fields;
  return [...names].filter(
    (name) => fields?.has(name) === true && JSON.stringify(is[name]) !== JSON.stringify(was[name]),
  );
}
