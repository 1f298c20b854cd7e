import {
  type CedarEntity,
  type CedarRequest,
  type CedarValue,
  type EntityUid,
  uidText,
} from '../evaluation.ts';
import type { Expression } from './expression.ts';
import { IP_FACTS, IP_SUBJECT } from '../facts/ip-facts.ts';
import { accessText, expressionText, nameText, referenceIn } from './expression-text.ts';

/** An attribute of an entity, or a part of one. */
export interface ValueOrigin {
  readonly entity: EntityUid;
  /** From the entity's attribute inwards. */
  readonly names: readonly string[];
}

/** A value that the request holds. */
export interface FoundValue {
  /** As Cedar writes it: `context.device.compliant`. */
  readonly path: string;
  readonly value: CedarValue;
  /** The entity attribute that it was read from, unless it stands in the context itself. */
  readonly origin?: ValueOrigin;
}

/** A value that the request does not hold. */
export interface MissingValue {
  /** In words: `context has no device`. */
  readonly missing: string;
  /** The attribute that is missing, unless it is missing in a record of the context. */
  readonly origin?: ValueOrigin;
}

/** Finds the values that expressions read, by walking the request's context and entities as Cedar does. */
export class RequestValues {
  readonly #request: CedarRequest;
  readonly #entities: ReadonlyMap<string, CedarEntity>;

  constructor(request: CedarRequest) {
    this.#request = request;
    this.#entities = new Map(request.entities.map((entity) => [uidText(entity.uid), entity]));
  }

  /** The value of a variable, a literal, or a path of attributes and tags on those; `undefined`: the expression is another. */
  find(expression: Expression): FoundValue | MissingValue | undefined {
    switch (expression.kind) {
      case 'value':
        return { path: expressionText(expression), value: expression.value };
      case 'variable': {
        const value = this.#request[expression.name];
        return {
          path: expression.name,
          value: expression.name === 'context' ? value : { __entity: value },
        } as FoundValue;
      }
      case 'attribute':
        return this.#attribute(this.find(expression.of), expression.name);
      case 'method':
        return expression.name === 'getTag' ? this.#tag(expression) : undefined;
      default:
        return undefined;
    }
  }

  /** Walks from the value of `of` through `names`, as `of has a.b.c` does. */
  walk(of: Expression, names: readonly string[]): FoundValue | MissingValue | undefined {
    return names.reduce((at, name) => this.#attribute(at, name), this.find(of));
  }

  #attribute(of: FoundValue | MissingValue | undefined, name: string): FoundValue | MissingValue | undefined {
    if (!of || 'missing' in of) return of;
    const entity = referenceIn(of.value);
    const record = entity ? (this.#entities.get(uidText(entity))?.attrs ?? {}) : recordIn(of.value);
    if (!record) return undefined;
    const value = Object.hasOwn(record, name) ? record[name] : undefined;
    const origin = entity ? { entity, names: [name] } : originWithin(of, name);
    if (value === undefined)
      return { missing: `${of.path} has no ${nameText(name)}`, ...(origin && { origin }) };
    return { path: `${of.path}${accessText(name)}`, value, ...(origin && { origin }) };
  }

  #tag(expression: Expression & { readonly kind: 'method' }): FoundValue | MissingValue | undefined {
    const of = this.find(expression.of);
    const key = expression.args[0] && this.find(expression.args[0]);
    if (!of || 'missing' in of) return of;
    if (!key || 'missing' in key) return key;
    const entity = referenceIn(of.value);
    if (!entity || typeof key.value !== 'string') return undefined;
    const tags = this.#entities.get(uidText(entity))?.tags ?? {};
    const value = Object.hasOwn(tags, key.value) ? tags[key.value] : undefined;
    const path = expressionText(expression);
    return value === undefined
      ? { missing: `${of.path} has no tag ${key.path}`, origin: { entity, names: [] } }
      : { path, value };
  }
}

/** What is known of an address stands in the context; its place is taken for an entity. */
function originWithin({ path, origin }: FoundValue, name: string): ValueOrigin | undefined {
  if (path === 'context' && name === IP_FACTS) return { entity: { type: IP_SUBJECT, id: '' }, names: [] };
  return origin && { ...origin, names: [...origin.names, name] };
}

function recordIn(value: CedarValue): { readonly [name: string]: CedarValue } | undefined {
  if (typeof value !== 'object' || Array.isArray(value) || '__extn' in value) return undefined;
  return value as { readonly [name: string]: CedarValue };
}
