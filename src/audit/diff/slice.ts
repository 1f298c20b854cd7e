import type { AttributeRecord } from '../../pdp/attribute.ts';
import type { BindingMatch } from '../../pdp/bindings/binding.ts';
import { EntityStore, addEndpoint, addWorkload, typeName } from '../../pdp/entities.ts';
import { type CedarEntity, type CedarRequest, type EntityUid, uidText } from '../../pdp/evaluation.ts';
import { boundAttributes } from './bound-object.ts';
import type { Comparison } from './comparison.ts';
import type { Fresh } from './current-facts.ts';
import { type FactsThen, factsThen, isLacking } from './facts-then.ts';
import { parentTypesOf } from './lack.ts';
import { type Party, groupTypesOf, partiesOf } from './party.ts';
import type { Recorded } from './recorded.ts';
import type { Routes } from './route.ts';
import { type Unknown, unknownAttribute, unknownParents } from './unknown.ts';

/** The entities of a question that is asked anew, and what of them is not in the log. */
export interface Slice {
  readonly entities: readonly CedarEntity[];
  readonly resource: EntityUid;
  readonly unknowns: readonly Unknown[];
}

/** What a slice is rebuilt from. */
export interface SliceParts {
  readonly comparison: Comparison;
  readonly recorded: Recorded;
  readonly question: CedarRequest;
  readonly routes: Routes;
  /** What information points say now, by uid; absent: what was recorded stands. */
  readonly fresh?: ReadonlyMap<string, Fresh>;
}

/**
 * Puts the entities together as `bind` does, by the new snapshot with its static data, from what was recorded of each without what the
 * old set's static data said.
 */
export function sliceOf(parts: SliceParts): Slice {
  const { comparison, recorded, question, routes } = parts;
  const builder = new SliceBuilder(parts);
  for (const party of partiesOf(recorded, question, comparison.next)) builder.addParty(party);
  const resource = addResource(builder, recorded, question, routes);
  if (!recorded.http) builder.addFurther();
  return { entities: builder.store.list(), resource, unknowns: builder.unknowns };
}

function addResource(
  builder: SliceBuilder,
  { http, service }: Recorded,
  { resource }: CedarRequest,
  { was, is }: Routes,
): EntityUid {
  if (!http) return resource;
  if (!is) return addEndpoint(builder.store, { ...http, service: service ?? http.host });
  return builder.addBound(is, was);
}

class SliceBuilder {
  readonly store: EntityStore;
  readonly unknowns: Unknown[] = [];
  readonly #parts: SliceParts;
  readonly #then: ReadonlyMap<string, CedarEntity>;
  readonly #seen = new Set<string>();

  constructor(parts: SliceParts) {
    this.#parts = parts;
    this.store = new EntityStore(parts.comparison.next);
    this.#then = new Map(parts.question.entities.map((entity) => [uidText(entity.uid), entity]));
  }

  addParty(party: Party): void {
    const { uid, own, workload } = party;
    const text = this.#see(uid);
    const then = factsThen(this.#then.get(text), this.#parts.comparison, this.#giving(party));
    const fresh = this.#parts.fresh?.get(text);
    const attributes = { ...without(then.attributes, fresh?.gives), ...fresh?.attributes } as AttributeRecord;
    const groups = this.#groups(party, then, fresh);
    if (workload) addWorkload(this.store, workload, { attributes, groups: groups.filter(isGroup) });
    else this.store.add(uid, { ...attributes, ...own }, groups);
    this.#noteAttributes(party, then, attributes, fresh);
    this.#noteParents(party, then, fresh);
  }

  /** The object of a request that meets a binding. Where no information point knows such objects, the request says all there is. */
  addBound(is: BindingMatch, was: BindingMatch | undefined): EntityUid {
    const { comparison, recorded, fresh } = this.#parts;
    const { uid, parents } = is.resource;
    const text = this.#see(uid);
    const bound = boundAttributes({
      is: is.resource,
      was: was?.resource,
      seen: this.#then.get(text),
      comparison,
      facts: recorded.facts,
      fresh: fresh?.get(text),
    });
    this.unknowns.push(...bound.unknowns);
    return this.store.add(uid, bound.attributes, comparison.next.staticEntity(text) ? [] : parents);
  }

  /** What a question about entities brought along beside the entities that it names. */
  addFurther(): void {
    const { old } = this.#parts.comparison;
    for (const [text, entity] of this.#then) {
      if (this.#seen.has(text) || JSON.stringify(old.staticEntity(text)) === JSON.stringify(entity)) continue;
      if (entity.uid.type !== typeName('Workload'))
        this.addParty({ uid: entity.uid, subjects: [], asserted: true, own: {} });
    }
  }

  #see(uid: EntityUid): string {
    const text = uidText(uid);
    this.#seen.add(text);
    return text;
  }

  #giving(party: Party): Parameters<typeof factsThen>[2] {
    const { facts } = this.#parts.recorded;
    const given =
      party.asserted === true ||
      facts.some(({ found, subject }) => found && party.subjects.includes(subject));
    return {
      attribute: (name) => given && !Object.hasOwn(party.own, name),
      parent: ({ id }) => given || (party.issuer !== undefined && id.startsWith(`${party.issuer}/`)),
    };
  }

  /** Groups that an issuer named stay; what information points give is what they give now. */
  #groups(party: Party, then: FactsThen, fresh: Fresh | undefined): readonly EntityUid[] {
    if (!fresh?.gives.has('groups')) return then.parents;
    const types = groupTypesOf(party);
    const kept = then.parents.filter(
      ({ type, id }) =>
        !types.includes(type) || (party.issuer !== undefined && id.startsWith(`${party.issuer}/`)),
    );
    return [...new Map([...fresh.groups, ...kept].map((uid) => [uidText(uid), uid])).values()];
  }

  /** Types of groups that a token may have named then, or an information point that does not name them now. */
  #mixedGroups(party: Party, { parents }: FactsThen, fresh: Fresh | undefined): readonly string[] {
    const { issuer, subjects } = party;
    const { facts } = this.#parts.recorded;
    if (!fresh?.gives.has('groups') || issuer === undefined) return [];
    if (!facts.some(({ found, subject }) => found && subjects.includes(subject))) return [];
    const named = new Set(fresh.groups.map(uidText));
    const mixed = parents.filter((uid) => uid.id.startsWith(`${issuer}/`) && !named.has(uidText(uid)));
    return mixed.map(({ type }) => type);
  }

  #noteAttributes(party: Party, then: FactsThen, values: AttributeRecord, fresh: Fresh | undefined): void {
    const { subjects, asserted, own, uid } = party;
    if (subjects.length === 0 && !asserted) return;
    const { comparison, recorded } = this.#parts;
    const facts = recorded.facts.filter(({ subject }) => subjects.includes(subject));
    const isSettled = (name: string) => Object.hasOwn(own, name) || fresh?.gives.has(name) === true;
    const isSeen = this.#then.has(uidText(uid));
    const lacks = isSeen ? comparison.attributeLacks(uid.type) : comparison.allAttributes(uid.type);
    for (const lack of lacks) {
      if (!isSettled(lack.path[0] ?? '') && isLacking(lack, values, facts))
        this.unknowns.push(unknownAttribute(uid.type, lack.path, lack.required));
    }
    for (const name of then.unsure) {
      if (!isSettled(name)) this.unknowns.push(unknownAttribute(uid.type, [name], false));
    }
  }

  #noteParents(party: Party, then: FactsThen, fresh: Fresh | undefined): void {
    const { comparison } = this.#parts;
    const types = groupTypesOf(party);
    const { type: of } = party.uid;
    const isSeen = this.#then.has(uidText(party.uid));
    const kept = isSeen ? comparison.parentLacks(of) : parentTypesOf(comparison.next, of);
    const lacking = kept.filter((type) => types.includes(type));
    const open = new Set([...lacking, ...then.unsureParents, ...this.#mixedGroups(party, then, fresh)]);
    // Without a token nobody but information points names groups.
    const isSettled = fresh?.gives.has('groups') === true && party.issuer === undefined;
    for (const type of isSettled ? [] : open)
      this.unknowns.push(unknownParents(of, type, comparison.typesAbove(type)));
  }
}

/** Namespaces and trust domains follow from the name of a workload. */
function isGroup({ type }: EntityUid): boolean {
  return type !== typeName('Namespace') && type !== typeName('TrustDomain');
}

function without(
  values: FactsThen['attributes'],
  gives: ReadonlySet<string> | undefined,
): FactsThen['attributes'] {
  return gives ? Object.fromEntries(Object.entries(values).filter(([name]) => !gives.has(name))) : values;
}
