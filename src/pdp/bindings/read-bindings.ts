import type { Problem } from '../errors.ts';
import type { SourceText } from '../policy-source.ts';
import type { SchemaShapes } from '../schema-shape.ts';
import type { Binding } from './binding.ts';
import { withoutConflicts } from './conflicts.ts';
import { readMatch } from './read-match.ts';
import { readAction, readResource } from './read-resource.ts';
import { YamlValue } from './yaml-value.ts';

/**
 * Reads the `bindings.yaml` of one or more policy sets and checks them whole: against the schema, against the canonical form of
 * requests, and against each other (docs/policies.md). Which of several bindings a request meets is fixed by `isMoreSpecific`.
 *
 * Adds a problem with file, line and column for everything that is wrong; the list is only good to use where none was added.
 * The list holds the bindings that no problem was found with.
 */
export function readBindings(
  sources: readonly SourceText[],
  shapes: SchemaShapes,
  problems: Problem[],
): Binding[] {
  const taken = new Map<string, YamlValue>();
  const bindings = sources.flatMap((source) => readSource(source, shapes, problems, taken));
  return withoutConflicts(bindings, problems);
}

function readSource(
  source: SourceText,
  shapes: SchemaShapes,
  problems: Problem[],
  taken: Map<string, YamlValue>,
): Binding[] {
  const root = YamlValue.parse(source, problems);
  const fields = root?.fields('the file', ['bindings']);
  const list = fields?.get('bindings');
  if (fields?.size === 0) root?.problem("the file needs a list 'bindings'");
  const items = list?.items("'bindings'") ?? [];
  return items.map((item) => readBinding(item, shapes, taken)).filter((binding) => binding !== undefined);
}

const KEYS = ['id', 'match', 'action', 'resource', 'observe'];

function readBinding(
  value: YamlValue,
  shapes: SchemaShapes,
  taken: Map<string, YamlValue>,
): Binding | undefined {
  const fields = value.fields('a binding', KEYS);
  if (!fields) return undefined;
  for (const key of ['id', 'match', 'action', 'resource'])
    if (!fields.has(key)) value.problem(`the binding has no '${key}'`);
  const id = readId(fields.get('id'), taken);
  const match = fields.get('match');
  const route = match && readMatch(match);
  const actionField = fields.get('action');
  const action = actionField && readAction(actionField, shapes);
  const resourceField = fields.get('resource');
  const resource = resourceField && readResource(resourceField, action, route?.pattern.captures, shapes);
  const observe = fields.has('observe') ? fields.get('observe')?.flag("'observe'") : false;
  if (!match || !route || !action || !resource || id === undefined || observe === undefined) return undefined;
  return { id, position: match.position, ...route, action, ...resource, observe };
}

function readId(value: YamlValue | undefined, taken: Map<string, YamlValue>): string | undefined {
  const id = value?.text("'id'");
  if (value === undefined || id === undefined) return undefined;
  if (!/^[A-Za-z0-9_.:/-]{1,128}$/.test(id))
    return value.problem(`the id '${id}' may only hold letters, digits and _ . : / -, 128 at most`);
  const other = taken.get(id)?.position;
  if (other)
    return value.problem(`the id '${id}' is taken already at ${other.where}:${other.line}:${other.column}`);
  taken.set(id, value);
  return id;
}
