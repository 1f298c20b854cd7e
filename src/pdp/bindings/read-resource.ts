import type { AttributeValue } from '../attribute.ts';
import { type EntityUid, uidText } from '../evaluation.ts';
import { isReservedKey } from '../external-json.ts';
import { typeText } from '../facts/value-type.ts';
import type { RecordShape } from '../policy-snapshot.ts';
import type { SchemaShapes } from '../schema-shape.ts';
import type { Binding, UidTemplate } from './binding.ts';
import type { Capture } from './path-pattern.ts';
import { suggestion } from '../suggest.ts';
import { type ValueTemplate, constantOf, parseValueTemplate } from './value-template.ts';
import type { YamlValue } from './yaml-value.ts';

/** `undefined`: the path is wrong already, so what it captures is not known. */
type Captures = ReadonlyMap<string, Capture> | undefined;

/** Reads an action such as `Clinic::Action::"view"`; it must be one that the schema applies to something. */
export function readAction(value: YamlValue, shapes: SchemaShapes): EntityUid | undefined {
  const text = value.text("'action'");
  if (text === undefined) return undefined;
  const uid = parseUid(text);
  if (!uid) return value.problem(`'${text}' is not an action; write it like Clinic::Action::"view"`);
  if (shapes.contexts.has(uidText(uid))) return uid;
  const hint = suggestion(uidText(uid), shapes.contexts.keys());
  return value.problem(`the schema has no action ${text} that applies to anything${hint}`);
}

/** Reads the resource of a binding and checks it against the schema and the action. */
export function readResource(
  value: YamlValue,
  action: EntityUid | undefined,
  captures: Captures,
  shapes: SchemaShapes,
): Pick<Binding, 'resource' | 'attributes' | 'parents' | 'pip'> | undefined {
  const fields = value.fields("'resource'", ['type', 'id', 'attributes', 'parents', 'pip']);
  if (!fields) return undefined;
  const resource = readUid(value, fields, captures, shapes);
  const type = resource?.type;
  const applies = checkScope(fields.get('type'), type, action, shapes);
  const attributes = readAttributes(fields.get('attributes'), type, captures, shapes);
  const parents = readParents(fields.get('parents'), type, captures, shapes);
  const pipField = fields.get('pip');
  const pip = pipField && readPip(pipField);
  if (!applies || !resource || !attributes || !parents || (pipField && pip === undefined)) return undefined;
  return { resource, attributes, parents, ...(pip !== undefined && { pip }) };
}

function parseUid(text: string): EntityUid | undefined {
  const match = /^((?:[A-Za-z_]\w*::)*Action)::("(?:[^"\\\n]|\\.)*")$/.exec(text);
  if (match?.[1] === undefined || match[2] === undefined) return undefined;
  try {
    return { type: match[1], id: JSON.parse(match[2]) as string };
  } catch {
    return undefined;
  }
}

function checkScope(
  at: YamlValue | undefined,
  type: string | undefined,
  action: EntityUid | undefined,
  shapes: SchemaShapes,
): boolean {
  if (type === undefined || !action || !shapes.entities.has(type)) return true;
  const types = shapes.appliesTo.get(uidText(action))?.resourceTypes ?? new Set();
  if (types.has(type)) return true;
  at?.problem(`${uidText(action)} does not apply to ${type}, only to ${[...types].sort().join(', ')}`);
  return false;
}

function readUid(
  value: YamlValue,
  fields: ReadonlyMap<string, YamlValue>,
  captures: Captures,
  shapes: SchemaShapes,
): UidTemplate | undefined {
  const typeField = fields.get('type');
  const idField = fields.get('id');
  if (!typeField) value.problem("'type' is missing");
  if (!idField) value.problem("'id' is missing");
  const type = typeField && readType(typeField, shapes);
  const id = idField && readTemplate(idField, "'id'", captures);
  if (id && constantOf(id) === '') return idField.problem('the id is empty');
  return id && type !== undefined ? { type, id } : undefined;
}

function readType(value: YamlValue, shapes: SchemaShapes): string | undefined {
  const type = value.text("'type'");
  if (type === undefined || shapes.entities.has(type)) return type;
  return value.problem(`the schema has no entity type ${type}${suggestion(type, shapes.entities.keys())}`);
}

function readTemplate(value: YamlValue, what: string, captures: Captures): ValueTemplate | undefined {
  const text = value.text(what);
  if (text === undefined) return undefined;
  if (/\p{Cc}/u.test(text)) return value.problem(`${what} holds a control character`);
  const template = parseValueTemplate(text, captures);
  return typeof template === 'string' ? value.problem(`${what} ${template}`) : template;
}

function readParents(
  value: YamlValue | undefined,
  type: string | undefined,
  captures: Captures,
  shapes: SchemaShapes,
): UidTemplate[] | undefined {
  const items = value ? value.items("'parents'") : [];
  if (!items) return undefined;
  const parents = items.map((item) => {
    const fields = item.fields('a parent', ['type', 'id']);
    const parent = fields && readUid(item, fields, captures, shapes);
    const allowed = type === undefined ? undefined : shapes.entities.get(type)?.parentTypes;
    if (!parent || !allowed || allowed.has(parent.type)) return parent;
    const known = allowed.size === 0 ? 'nothing' : [...allowed].sort().join(', ');
    return item.problem(`the schema declares ${type} in ${known}, not in ${parent.type}`);
  });
  const found = parents.filter((parent) => parent !== undefined);
  return found.length === parents.length ? found : undefined;
}

function readPip(value: YamlValue): string | undefined {
  const name = value.text("'pip'");
  if (name === undefined || /^[A-Za-z0-9_.-]{1,64}$/.test(name)) return name;
  return value.problem("'pip' is the name of a subject: letters, digits and _ . - only");
}

function readAttributes(
  value: YamlValue | undefined,
  type: string | undefined,
  captures: Captures,
  shapes: SchemaShapes,
): Binding['attributes'] | undefined {
  if (!value) return [];
  const fields = value.fields("'attributes'");
  if (!fields) return undefined;
  const declared = type === undefined ? undefined : shapes.entities.get(type)?.fields;
  const attributes = [...fields].map(([name, field]) => readAttribute(name, field, declared, type, captures));
  const found = attributes.filter((attribute) => attribute !== undefined);
  return found.length === attributes.length ? found : undefined;
}

function readAttribute(
  name: string,
  field: YamlValue,
  declared: RecordShape['fields'] | undefined,
  type: string | undefined,
  captures: Captures,
): Binding['attributes'][number] | undefined {
  if (isReservedKey(name)) return field.problem(`'${name}' is no name for an attribute`);
  const declaredType = declared?.get(name)?.type;
  if (declared && !declaredType)
    return field.problem(
      `the schema declares no attribute '${name}' on ${type}${suggestion(name, declared.keys())}`,
    );
  const what = `the attribute '${name}'`;
  const found = kindOf(field);
  const word = declaredType && typeText(declaredType);
  if (word !== undefined && !fits(found, word))
    return field.problem(
      /^(?:Set<)?(?:String|Long|Bool)>?$/.test(word)
        ? `${what} is declared as ${word}, this is ${found}`
        : `${what} is declared as ${word}, which only an information point can give`,
    );
  const read = field.isList ? readList(field, what) : readScalar(field, what, captures);
  return read === undefined ? undefined : [name, read];
}

function kindOf(field: YamlValue): string {
  if (field.isList) {
    const kinds = new Set(field.items('')?.map(kindOf));
    return kinds.size > 1 ? 'a mixed list' : `Set<${[...kinds][0] ?? ''}>`;
  }
  const value = field.scalar();
  if (typeof value === 'string') return 'String';
  if (typeof value === 'boolean') return 'Bool';
  return typeof value === 'number' ? 'Long' : 'neither text, number nor truth value';
}

function fits(found: string, word: string): boolean {
  return found === word || (found === 'Set<>' && /^Set<(?:String|Long|Bool)>$/.test(word));
}

function readScalar(
  field: YamlValue,
  what: string,
  captures: Captures,
): ValueTemplate | AttributeValue | undefined {
  const value = field.scalar();
  if (typeof value === 'string') return readTemplate(field, what, captures);
  if (typeof value === 'boolean' || Number.isSafeInteger(value)) return value as boolean | number;
  return field.problem(`${what} must be text, true, false or an integer within 2^53`);
}

function readList(field: YamlValue, what: string): AttributeValue[] | undefined {
  const values = field.items(what)?.map((item) => {
    const value = readScalar(item, `${what}, in a list,`, new Map());
    return typeof value === 'object' && 'parts' in value ? constantOf(value as ValueTemplate) : value;
  });
  const found = values?.filter((value) => value !== undefined);
  return found?.length === values?.length ? found : undefined;
}
