import { type CedarRequest, type EntityUid, uidText } from '../evaluation.ts';
import { referenceText } from './expression-text.ts';

/** A part of a policy's scope. */
export type ScopePart = 'principal' | 'action' | 'resource';

/**
 * A part of a policy's scope as an expression of Cedar's JSON format, which says the same: `principal in Group::"x"`.
 * `undefined`: the scope does not restrict that part.
 */
export function scopeExpression(policy: object, part: ScopePart): object | undefined {
  const { op, entity, entities, type, within } = readPart(policy, part);
  const left = { Var: part };
  switch (op) {
    case 'All':
      return undefined;
    case '==':
      return { '==': { left, right: literal(entity) } };
    case 'in':
      return { in: { left, right: entities ? { Set: entities.map(literal) } : literal(entity) } };
    case 'is':
      return { is: { left, entity_type: type, ...(within && { in: literal(entity) }) } };
    default:
      // Nothing that the engine takes, so that nobody mistakes it for a scope that matches.
      return literal(undefined);
  }
}

/** `principal is User::"x", the policy wants one in Group::"y"`; only where the policy restricts the principal. */
export function principalWords(policy: object, principal: EntityUid): string {
  const { op, entity, type } = readPart(policy, 'principal');
  const name = entity ? referenceText(entity) : op === 'is' ? '' : 'what its template is linked with';
  const kind =
    op === 'is' ? `a ${String(type)}${name && ` in ${name}`}` : op === 'in' ? `one in ${name}` : name;
  return `principal is ${referenceText(principal)}, the policy wants ${kind}`;
}

/** Tests scopes against one request: which of many policies are worth a closer look, without asking the engine about each. */
export class ScopeTest {
  readonly #request: CedarRequest;
  readonly #ancestors = new Map<string, ReadonlySet<string>>();

  constructor(request: CedarRequest) {
    this.#request = request;
    for (const part of ['principal', 'resource'] as const)
      this.#ancestors.set(part, selfAndAncestors(request[part], request));
  }

  /** Whether the principal or resource of the request is within a policy's scope. A slot that nothing fills matches nothing. */
  matches(policy: object, part: 'principal' | 'resource'): boolean {
    const { op, entity, type, within } = readPart(policy, part);
    const uid = this.#request[part];
    switch (op) {
      case 'All':
        return true;
      case '==':
        return entity !== undefined && uidText(entity) === uidText(uid);
      case 'in':
        return this.#isIn(part, entity);
      case 'is':
        return type === uid.type && (!within || this.#isIn(part, entity));
      default:
        return false;
    }
  }

  #isIn(part: 'principal' | 'resource', entity: EntityUid | undefined): boolean {
    return entity !== undefined && this.#ancestors.get(part)?.has(uidText(entity)) === true;
  }
}

function selfAndAncestors(uid: EntityUid, { entities }: CedarRequest): ReadonlySet<string> {
  const parents = new Map(entities.map((entity) => [uidText(entity.uid), entity.parents]));
  const seen = new Set([uidText(uid)]);
  // A set grows while it is walked: each ancestor adds its own parents.
  for (const text of seen) for (const parent of parents.get(text) ?? []) seen.add(uidText(parent));
  return seen;
}

interface Part {
  readonly op: unknown;
  /** What the part is compared with, or must be in. */
  readonly entity: EntityUid | undefined;
  /** Only for `action in […]`. */
  readonly entities: readonly (EntityUid | undefined)[] | undefined;
  readonly type: unknown;
  /** Whether an `is` has an `in`. */
  readonly within: boolean;
}

type Json = { readonly [key: string]: unknown };

/** Reads a part of the scope out of Cedar's JSON policy format; what is odd in it reads as `undefined`. */
function readPart(policy: object, part: ScopePart): Part {
  const json = ((policy as Json)[part] ?? {}) as Json;
  const within = json['in'] as Json | undefined;
  const entities = json['entities'];
  return {
    op: json['op'],
    entity: uidOf(json['entity'] ?? within?.['entity']),
    entities: Array.isArray(entities) ? entities.map(uidOf) : undefined,
    type: json['entity_type'],
    within: within !== undefined,
  };
}

function uidOf(json: unknown): EntityUid | undefined {
  const { type, id } = ((json as Json | undefined)?.['__entity'] ?? json ?? {}) as Json;
  return typeof type === 'string' && typeof id === 'string' ? { type, id } : undefined;
}

/** A template's slot stands for what cannot be read: neither engine nor reader takes it for a value. */
function literal(uid: EntityUid | undefined): object {
  return uid ? { Value: { __entity: uid } } : { Slot: '?unknown' };
}
