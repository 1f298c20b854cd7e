import type { EntityUid } from '../evaluation.ts';
import type { ValueType } from '../policy-snapshot.ts';
import type { ActionScope, SchemaJson, SchemaType } from '../schema-shape.ts';
import type { EntityPlan, FieldPlan, QuestionPlan, RecordPlan } from './plan.ts';

/** An action as a schema without all others declares it. */
export interface DeclaredAction {
  readonly uid: EntityUid;
  /** All groups that it is in, directly or not. */
  readonly groups: readonly EntityUid[];
}

/**
 * The schema of questions about one action, with nothing in it that policies do not read, in Cedar's JSON format. `actions`: all that are to be
 * known, the action itself among them.
 */
export function schemaOf(
  { action, context, entities }: QuestionPlan,
  { principalTypes, resourceTypes }: ActionScope,
  actions: readonly DeclaredAction[],
): SchemaJson {
  const namespaces = new Map<string, Namespace>();
  const within = (type: string): Namespace => {
    const name = namespaceOf(type);
    let namespace = namespaces.get(name);
    if (!namespace) namespaces.set(name, (namespace = { entityTypes: {}, actions: {} }));
    return namespace;
  };
  for (const [type, plan] of entities) within(type).entityTypes[baseName(type)] = entityType(plan);
  const appliesTo = {
    principalTypes: [...principalTypes],
    resourceTypes: [...resourceTypes],
    context: recordType(context),
  };
  for (const { uid, groups } of actions) {
    const own = uid.type === action.type && uid.id === action.id;
    within(uid.type).actions[uid.id] = { memberOf: groups, ...(own && { appliesTo }) };
  }
  return Object.fromEntries(namespaces);
}

interface Namespace {
  readonly entityTypes: Record<string, SchemaJson[string]['entityTypes'][string]>;
  readonly actions: Record<string, SchemaJson[string]['actions'][string]>;
}

function entityType(plan: EntityPlan): Namespace['entityTypes'][string] {
  if (plan.ids) return { enum: [...plan.ids] };
  return { memberOfTypes: plan.parentTypes, shape: recordType(plan) };
}

function recordType({ fields }: RecordPlan): SchemaType {
  const read = [...fields].filter(([, field]) => field.read);
  return {
    type: 'Record',
    attributes: Object.fromEntries(read.map(([name, field]) => [name, fieldType(field)])),
  };
}

function fieldType({ required, type, parts }: FieldPlan): SchemaType & { readonly required: boolean } {
  return { ...(parts ? recordType(parts) : valueType(type)), required };
}

const WORDS = { string: 'String', long: 'Long', bool: 'Boolean' } as const;

function valueType(type: ValueType): SchemaType {
  switch (type.kind) {
    case 'set':
      return { type: 'Set', element: valueType(type.element) };
    case 'entity':
      return { type: 'Entity', name: type.type };
    case 'extension':
      return { type: 'Extension', name: type.name };
    case 'record':
      return { type: 'Record', attributes: wholeFields(type) };
    default:
      return { type: WORDS[type.kind] };
  }
}

function wholeFields({
  shape,
}: ValueType & { readonly kind: 'record' }): NonNullable<SchemaType['attributes']> {
  const fields = [...shape.fields];
  return Object.fromEntries(
    fields.map(([name, { required, type }]) => [name, { ...valueType(type), required }]),
  );
}

function namespaceOf(type: string): string {
  const at = type.lastIndexOf('::');
  return at < 0 ? '' : type.slice(0, at);
}

function baseName(type: string): string {
  const at = type.lastIndexOf('::');
  return at < 0 ? type : type.slice(at + 2);
}
