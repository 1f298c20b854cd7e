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
  readonly #ids = new Map<string, string[]>();

  constructor(policies: Iterable<PolicyScope> = []) {
    for (const policy of policies) this.add(policy);
  }

  /** Adds one policy; before the index is used. */
  add({ id, principal = ANY, actions = [ANY], resource = ANY }: PolicyScope): void {
    for (const action of actions) {
      const key = slot(principal, action, resource);
      const ids = this.#ids.get(key);
      if (ids) ids.push(id);
      else this.#ids.set(key, [id]);
    }
  }

  /** Ids of the policies that may match, each once, in no particular order. `actionAncestors` come from the schema. */
  lookup(request: CedarRequest, actionAncestors: readonly string[]): string[] {
    const ancestors = ancestorsOf(request);
    const principals = [ANY, `is ${request.principal.type}`, ...ancestors(request.principal)];
    const actions = [ANY, uidText(request.action), ...actionAncestors];
    const resources = [ANY, `is ${request.resource.type}`, ...ancestors(request.resource)];
    const found: string[] = [];
    for (const principal of principals) {
      for (const action of actions) {
        for (const resource of resources)
          found.push(...(this.#ids.get(slot(principal, action, resource)) ?? []));
      }
    }
    // A policy that names several actions stands in several slots.
    return found.length < 2 ? found : [...new Set(found)];
  }
}

/** Uids are quoted and type names hold no space, so the parts cannot run into one another. */
function slot(principal: string, action: string, resource: string): string {
  return `${principal}\n${action}\n${resource}`;
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
