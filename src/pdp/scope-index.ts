import type { SlotValues } from './template-links.ts';
import { type CedarRequest, type EntityUid, uidText } from './evaluation.ts';

/** The scope of one policy, as far as it can be looked up. `undefined`: the scope does not restrict that part. */
export interface PolicyScope {
  readonly id: string;
  /** `Type::"id"`, or `is Type`. */
  readonly principal: string | undefined;
  readonly actions: readonly string[] | undefined;
  readonly resource: string | undefined;
}

const ANY = '';

/**
 * Finds the policies of a set whose scope can match a request, without looking at the others.
 *
 * Leaving out a policy whose scope cannot match changes nothing of the answer: scope tests come first in a policy's conjunction
 * and cannot err, so such a policy is neither satisfied nor erroring (cedar-spec, `scope_analysis_is_sound`). The ancestors must be
 * those of the very entities that the request is evaluated with.
 */
export class ScopeIndex {
  /** By action, then principal, then resource. */
  readonly #ids = new Map<string, Map<string, Map<string, string[]>>>();

  constructor(policies: Iterable<PolicyScope> = []) {
    for (const policy of policies) this.add(policy);
  }

  /** Adds one policy; before the index is used. */
  add({ id, principal = ANY, actions = [ANY], resource = ANY }: PolicyScope): void {
    for (const action of actions) {
      const byPrincipal = within(this.#ids, action, () => new Map<string, Map<string, string[]>>());
      const byResource = within(byPrincipal, principal, () => new Map<string, string[]>());
      within(byResource, resource, () => []).push(id);
    }
  }

  /** Ids of the policies that may match, each once, in no particular order. `actionAncestors` come from the schema. */
  lookup(request: CedarRequest, actionAncestors: readonly string[]): string[] {
    const ancestors = ancestorsOf(request);
    const principals = [ANY, `is ${request.principal.type}`, ...ancestors(request.principal)];
    const resources = [ANY, `is ${request.resource.type}`, ...ancestors(request.resource)];
    const found: string[] = [];
    for (const action of [ANY, uidText(request.action), ...actionAncestors]) {
      const byPrincipal = this.#ids.get(action);
      if (byPrincipal) collect(byPrincipal, principals, resources, found);
    }
    // A policy that names several actions stands in several slots.
    return found.length < 2 ? found : [...new Set(found)];
  }
}

function within<T>(map: Map<string, T>, key: string, make: () => T): T {
  let value = map.get(key);
  if (value === undefined) map.set(key, (value = make()));
  return value;
}

function collect(
  byPrincipal: ReadonlyMap<string, ReadonlyMap<string, readonly string[]>>,
  principals: readonly string[],
  resources: readonly string[],
  into: string[],
): void {
  for (const principal of principals) {
    const byResource = byPrincipal.get(principal);
    if (!byResource) continue;
    for (const resource of resources) {
      const ids = byResource.get(resource);
      if (ids) into.push(...ids);
    }
  }
}

/** The entity itself and all its ancestors, as texts. */
function ancestorsOf({ entities }: CedarRequest): (uid: EntityUid) => string[] {
  const parents = new Map(entities.map((entity) => [uidText(entity.uid), entity.parents]));
  return (uid) => {
    const seen = new Set([uidText(uid)]);
    // A set grows while it is walked: each ancestor adds its own parents.
    for (const text of seen) for (const parent of parents.get(text) ?? []) seen.add(uidText(parent));
    return [...seen];
  };
}

interface ScopeJson {
  readonly principal: PartJson;
  readonly action: PartJson;
  readonly resource: PartJson;
}

interface PartJson {
  readonly op: 'All' | '==' | 'in' | 'is';
  readonly entity?: UidJson;
  readonly entities?: readonly UidJson[];
  readonly entity_type?: string;
  readonly slot?: keyof SlotValues;
  readonly in?: { readonly entity?: UidJson; readonly slot?: keyof SlotValues };
}

type UidJson = EntityUid | { readonly __entity: EntityUid };

/** Reads the scope out of a policy in Cedar's JSON format; `slots` are the values that a link gives to a template's slots. */
export function scopeOf(id: string, policy: object, slots: SlotValues = {}): PolicyScope {
  const { principal, action, resource } = policy as ScopeJson;
  const actions = action.entities ?? (action.entity ? [action.entity] : undefined);
  return {
    id,
    principal: partOf(principal, slots),
    actions: actions?.map(textOf),
    resource: partOf(resource, slots),
  };
}

function partOf(part: PartJson, slots: SlotValues): string | undefined {
  const slot = part.slot ?? part.in?.slot;
  const entity = part.entity ?? part.in?.entity ?? (slot === undefined ? undefined : slots[slot]);
  if (entity) return textOf(entity);
  return part.entity_type === undefined ? undefined : `is ${part.entity_type}`;
}

function textOf(uid: UidJson): string {
  return uidText('__entity' in uid ? uid.__entity : uid);
}
