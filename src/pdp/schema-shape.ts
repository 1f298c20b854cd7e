import type { EntityShape, FieldShape, RecordShape, ValueType } from './policy-snapshot.ts';
import { type EntityUid, uidText } from './evaluation.ts';
import { MAX_AGE, parseMaxAge } from './max-age.ts';

/** The parts of Cedar's JSON schema format (with resolved types) that we read. */
export interface SchemaJson {
  readonly [namespace: string]: Annotated & {
    readonly commonTypes?: { readonly [name: string]: SchemaType };
    readonly entityTypes: {
      readonly [name: string]: Annotated & {
        readonly memberOfTypes?: readonly string[];
        readonly shape?: SchemaType;
        /** The ids of an enumeration. */
        readonly enum?: readonly string[];
      };
    };
    readonly actions: {
      readonly [name: string]: Annotated & {
        readonly memberOf?: readonly { readonly id: string; readonly type?: string }[];
        readonly appliesTo?: {
          readonly principalTypes: readonly string[];
          readonly resourceTypes: readonly string[];
          readonly context?: SchemaType;
        };
      };
    };
  };
}

/** What may carry annotations; one without a value has the empty text. */
export interface Annotated {
  readonly annotations?: { readonly [name: string]: string };
}

/** A type as Cedar's JSON schema format has it. */
export interface SchemaType extends Annotated {
  readonly type: string;
  readonly element?: SchemaType;
  /** Of `Entity`: the entity type. Of `Extension`: the extension type. */
  readonly name?: string;
  readonly attributes?: { readonly [name: string]: SchemaType & { readonly required?: boolean } };
}

/** Shapes of a schema: by entity type name, and of the context by action uid text. */
export interface SchemaShapes {
  readonly entities: ReadonlyMap<string, EntityShape>;
  readonly contexts: ReadonlyMap<string, RecordShape>;
  /** What an action applies to, by action uid text. Holds the same actions as `contexts`. */
  readonly appliesTo: ReadonlyMap<string, ActionScope>;
  /** All actions and groups of them, by uid text. */
  readonly actionUids: ReadonlyMap<string, EntityUid>;
  /** The groups that an action is in, directly or not, as uid texts, by action uid text. */
  readonly actionAncestors: ReadonlyMap<string, readonly string[]>;
}

/** The entity types that an action applies to. */
export interface ActionScope {
  readonly uid: EntityUid;
  readonly principalTypes: ReadonlySet<string>;
  readonly resourceTypes: ReadonlySet<string>;
}

/** Reads the declared shapes out of a schema; types that are named are followed. */
export function schemaShapes(schema: SchemaJson): SchemaShapes {
  const types = new SchemaTypes(schema);
  const entities = new Map<string, EntityShape>();
  const contexts = new Map<string, RecordShape>();
  const appliesToByAction = new Map<string, ActionScope>();
  const actionUids = new Map<string, EntityUid>();
  for (const [namespace, definition] of Object.entries(schema)) {
    for (const [name, entity] of Object.entries(definition.entityTypes)) {
      const parentTypes = new Set(entity.memberOfTypes);
      const ids = entity.enum && { ids: new Set(entity.enum) };
      entities.set(qualified(namespace, name), { ...types.record(entity.shape), parentTypes, ...ids });
    }
    for (const [id, { appliesTo }] of Object.entries(definition.actions)) {
      const uid = { type: qualified(namespace, 'Action'), id };
      const action = uidText(uid);
      actionUids.set(action, uid);
      if (!appliesTo || appliesTo.principalTypes.length === 0 || appliesTo.resourceTypes.length === 0)
        continue;
      contexts.set(action, types.record(appliesTo.context));
      appliesToByAction.set(action, {
        uid,
        principalTypes: new Set(appliesTo.principalTypes),
        resourceTypes: new Set(appliesTo.resourceTypes),
      });
    }
  }
  const scopes = { contexts, appliesTo: appliesToByAction };
  return { entities, ...scopes, actionUids, actionAncestors: actionAncestors(schema) };
}

/** The types that a schema names, by their whole names. */
export function commonTypesOf(schema: SchemaJson): ReadonlyMap<string, SchemaType> {
  const common = new Map<string, SchemaType>();
  for (const [namespace, { commonTypes = {} }] of Object.entries(schema)) {
    for (const [name, type] of Object.entries(commonTypes)) common.set(qualified(namespace, name), type);
  }
  return common;
}

function qualified(namespace: string, name: string): string {
  return namespace === '' ? name : `${namespace}::${name}`;
}

const EMPTY: RecordShape = { fields: new Map() };
const PRIMITIVES: { readonly [word: string]: ValueType } = {
  String: { kind: 'string' },
  Long: { kind: 'long' },
  Bool: { kind: 'bool' },
  // What Cedar's own formatter of schemas writes.
  Boolean: { kind: 'bool' },
};

/** The types of one schema, by the names that its parts call them by. */
class SchemaTypes {
  readonly #common: ReadonlyMap<string, SchemaType>;
  readonly #enumerations = new Map<string, ReadonlySet<string>>();

  constructor(schema: SchemaJson) {
    this.#common = commonTypesOf(schema);
    for (const [namespace, { entityTypes }] of Object.entries(schema)) {
      for (const [name, { enum: ids }] of Object.entries(entityTypes))
        if (ids) this.#enumerations.set(qualified(namespace, name), new Set(ids));
    }
  }

  record(type: SchemaType | undefined): RecordShape {
    const value = type && this.#valueType(type);
    return value?.kind === 'record' ? value.shape : EMPTY;
  }

  #valueType(type: SchemaType): ValueType {
    const named = this.#common.get(type.type);
    if (named) return this.#valueType(named);
    const word = type.type.replace(/^__cedar::/, '');
    if (word === 'Record') return { kind: 'record', shape: this.#recordShape(type) };
    if (word === 'Set' && type.element) return { kind: 'set', element: this.#valueType(type.element) };
    if (word === 'Entity') return this.#entityType(type.name ?? '');
    return PRIMITIVES[word] ?? { kind: 'extension', name: type.name ?? word };
  }

  #entityType(type: string): ValueType {
    const ids = this.#enumerations.get(type);
    return { kind: 'entity', type, ...(ids && { ids }) };
  }

  #recordShape({ attributes = {} }: SchemaType): RecordShape {
    const fields = new Map<string, FieldShape>();
    const ageing = new Set<string>();
    for (const [name, declared] of Object.entries(attributes)) {
      const field = this.#field(declared);
      fields.set(name, field);
      if (field.maxAgeMs !== undefined || holdsAges(field.type)) ageing.add(name);
    }
    return { fields, ...(ageing.size > 0 && { ageing }) };
  }

  #field(declared: SchemaType & { readonly required?: boolean }): FieldShape {
    const maxAgeMs = parseMaxAge(declared.annotations?.[MAX_AGE]);
    return {
      required: declared.required !== false,
      type: this.#valueType(declared),
      ...(maxAgeMs !== undefined && { maxAgeMs }),
    };
  }
}

function holdsAges(type: ValueType): boolean {
  if (type.kind === 'set') return holdsAges(type.element);
  return type.kind === 'record' && type.shape.ageing !== undefined;
}

function actionAncestors(schema: SchemaJson): Map<string, readonly string[]> {
  const parents = new Map<string, string[]>();
  for (const [namespace, { actions }] of Object.entries(schema)) {
    const ownType = qualified(namespace, 'Action');
    for (const [id, { memberOf = [] }] of Object.entries(actions)) {
      parents.set(
        uidText({ type: ownType, id }),
        memberOf.map((group) => uidText({ type: group.type ?? ownType, id: group.id })),
      );
    }
  }
  return new Map([...parents.keys()].map((action) => [action, [...closure(action, parents)].slice(1)]));
}

/** The node itself and all that it leads to. */
function closure(start: string, edges: ReadonlyMap<string, readonly string[]>): Set<string> {
  const seen = new Set([start]);
  // A set grows while it is walked.
  for (const at of seen) for (const next of edges.get(at) ?? []) seen.add(next);
  return seen;
}
