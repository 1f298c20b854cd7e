import type { EntityShape, RecordShape } from './policy-snapshot.ts';
import { uidText } from './evaluation.ts';

/** The parts of Cedar's JSON schema format (with resolved types) that we read. */
export interface SchemaJson {
  readonly [namespace: string]: {
    readonly commonTypes?: { readonly [name: string]: SchemaType };
    readonly entityTypes: {
      readonly [name: string]: { readonly memberOfTypes?: readonly string[]; readonly shape?: SchemaType };
    };
    readonly actions: {
      readonly [name: string]: {
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

interface SchemaType {
  readonly type: string;
  readonly element?: SchemaType;
  readonly attributes?: { readonly [name: string]: SchemaType & { readonly required?: boolean } };
}

/** Shapes of a schema: by entity type name, and of the context by action uid text. */
export interface SchemaShapes {
  readonly entities: ReadonlyMap<string, EntityShape>;
  readonly contexts: ReadonlyMap<string, RecordShape>;
  /** What an action applies to, by action uid text. Holds the same actions as `contexts`. */
  readonly appliesTo: ReadonlyMap<string, ActionScope>;
  /** The groups that an action is in, directly or not, as uid texts, by action uid text. */
  readonly actionAncestors: ReadonlyMap<string, readonly string[]>;
  /**
   * The types of the attributes, by entity type and attribute name: `String`, `Long`, `Bool`, `Set<…>` of these, or the type's
   * own word.
   */
  readonly attributeTypes: ReadonlyMap<string, ReadonlyMap<string, string>>;
}

/** The entity types that an action applies to. */
export interface ActionScope {
  readonly principalTypes: ReadonlySet<string>;
  readonly resourceTypes: ReadonlySet<string>;
}

/** Reads the declared shapes out of a schema; record types that are named are followed. */
export function schemaShapes(schema: SchemaJson): SchemaShapes {
  const common = new Map<string, SchemaType>();
  for (const [namespace, definition] of Object.entries(schema)) {
    for (const [name, type] of Object.entries(definition.commonTypes ?? {}))
      common.set(qualified(namespace, name), type);
  }
  const entities = new Map<string, EntityShape>();
  const contexts = new Map<string, RecordShape>();
  const appliesToByAction = new Map<string, ActionScope>();
  const attributeTypes = new Map<string, ReadonlyMap<string, string>>();
  for (const [namespace, definition] of Object.entries(schema)) {
    for (const [name, entity] of Object.entries(definition.entityTypes)) {
      const shape = recordShape(entity.shape, common) ?? EMPTY;
      entities.set(qualified(namespace, name), { ...shape, parentTypes: new Set(entity.memberOfTypes) });
      attributeTypes.set(qualified(namespace, name), typeWords(entity.shape, common));
    }
    for (const [id, { appliesTo }] of Object.entries(definition.actions)) {
      if (!appliesTo || appliesTo.principalTypes.length === 0 || appliesTo.resourceTypes.length === 0)
        continue;
      const action = uidText({ type: qualified(namespace, 'Action'), id });
      contexts.set(action, recordShape(appliesTo.context, common) ?? EMPTY);
      appliesToByAction.set(action, {
        principalTypes: new Set(appliesTo.principalTypes),
        resourceTypes: new Set(appliesTo.resourceTypes),
      });
    }
  }
  return {
    entities,
    contexts,
    appliesTo: appliesToByAction,
    actionAncestors: actionAncestors(schema),
    attributeTypes,
  };
}

const EMPTY: RecordShape = { fields: new Map() };

function qualified(namespace: string, name: string): string {
  return namespace === '' ? name : `${namespace}::${name}`;
}

function recordShape(
  type: SchemaType | undefined,
  common: ReadonlyMap<string, SchemaType>,
): RecordShape | undefined {
  if (type === undefined) return undefined;
  if (type.type !== 'Record') return recordShape(common.get(type.type), common);
  const fields = Object.entries(type.attributes ?? {}).map(([name, field]) => {
    const record = recordShape(field, common);
    return [name, { required: field.required !== false, ...(record && { record }) }] as const;
  });
  return { fields: new Map(fields) };
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

function typeWords(
  shape: SchemaType | undefined,
  common: ReadonlyMap<string, SchemaType>,
): ReadonlyMap<string, string> {
  if (shape === undefined) return new Map();
  if (shape.type !== 'Record') return typeWords(common.get(shape.type), common);
  return new Map(
    Object.entries(shape.attributes ?? {}).map(([name, type]) => [name, typeWord(type, common)]),
  );
}

function typeWord(type: SchemaType, common: ReadonlyMap<string, SchemaType>): string {
  const named = common.get(type.type);
  if (named) return typeWord(named, common);
  if (type.type === 'Set' && type.element) return `Set<${typeWord(type.element, common)}>`;
  return type.type.replace(/^__cedar::/, '');
}
