import { uidText, type CedarEntity, type EntityUid } from '../../pdp/evaluation.ts';
import type { PolicySnapshot } from '../../pdp/policy-snapshot.ts';
import { type Keeping, type Lack, keepingOf, lacksOf, parentTypesOf } from './lack.ts';

/** What a new snapshot keeps that an old one did not, by entity type and action; each worked out once. */
export class Comparison {
  readonly old: PolicySnapshot;
  readonly next: PolicySnapshot;
  readonly #attributes = new Map<string, readonly Lack[]>();
  readonly #whole = new Map<string, readonly Lack[]>();
  readonly #parents = new Map<string, readonly string[]>();
  readonly #contexts = new Map<string, readonly Lack[]>();
  readonly #above = new Map<string, ReadonlySet<string>>();

  constructor(old: PolicySnapshot, next: PolicySnapshot) {
    this.old = old;
    this.next = next;
  }

  /** Of the attributes of entities of a type. */
  attributeLacks(type: string): readonly Lack[] {
    return remembered(this.#attributes, type, () =>
      lacksOf(keepingOf(this.old, type), keepingOf(this.next, type)),
    );
  }

  /** The same of entities that were not in the question at all: everything that the new snapshot keeps of them. */
  allAttributes(type: string): readonly Lack[] {
    return remembered(this.#whole, type, () => {
      const nothing = { shape: undefined, names: new Set<string>(), reads: this.old.reads };
      return lacksOf(nothing, keepingOf(this.next, type));
    });
  }

  /** Types of parents, of entities of a type. */
  parentLacks(type: string): readonly string[] {
    return remembered(this.#parents, type, () => {
      const kept = parentTypesOf(this.old, type);
      return parentTypesOf(this.next, type).filter((parent) => !kept.includes(parent));
    });
  }

  /** Of the context of an action that is now another, or the same. */
  contextLacks(was: EntityUid, is: EntityUid): readonly Lack[] {
    return remembered(this.#contexts, `${uidText(was)} ${uidText(is)}`, () =>
      lacksOf(contextKeeping(this.old, was), contextKeeping(this.next, is)),
    );
  }

  /** The types that the new static entities of a type are below of, itself included. */
  typesAbove(type: string): ReadonlySet<string> {
    return remembered(this.#above, type, () => typesAbove(this.next, type));
  }
}

function contextKeeping(snapshot: PolicySnapshot, action: EntityUid): Keeping {
  const { reads } = snapshot;
  return { shape: snapshot.contextShape(action), names: reads.contextKeys, reads };
}

/** The value in a map, made where it is not there yet. */
export function remembered<K, V>(map: Map<K, V>, key: K, make: () => V): V {
  let value = map.get(key);
  if (value === undefined) map.set(key, (value = make()));
  return value;
}

function typesAbove(snapshot: PolicySnapshot, type: string): ReadonlySet<string> {
  const types = new Set([type]);
  const seen = new Set<CedarEntity>();
  const open = snapshot.staticIds(type).map((id) => snapshot.staticEntity(uidText({ type, id })));
  while (open.length > 0) {
    const entity = open.pop();
    if (!entity || seen.has(entity)) continue;
    seen.add(entity);
    for (const parent of entity.parents) {
      types.add(parent.type);
      open.push(snapshot.staticEntity(uidText(parent)));
    }
  }
  return types;
}
