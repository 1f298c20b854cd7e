import { captureName, pascalCase, singular, typeOf, typeOfParameter, uniqueName } from './draft-names.ts';

/** A reference as it is written in `bindings.yaml`, its type without namespace. */
export interface DraftUid {
  readonly type: string;
  readonly id: string;
}

/** What a path template of an API says about objects. */
export interface DraftResource {
  /** Our path template. */
  readonly path: string;
  readonly resource: DraftUid;
  readonly parents: readonly DraftUid[];
  /** Literal segments after the last parameter. */
  readonly trailing: readonly string[];
}

interface Parameter {
  readonly name: string;
  readonly index: number;
}

/**
 * The object that a path is about: the one that the last parameter names, of the type that the literal before it says, in the
 * objects that earlier parameters name. A path without parameters is about the collection or endpoint that it is.
 *
 * Collections have types of their own: as `Patient::"patients"`, a patient whose id is `patients` would be the collection too.
 */
export function draftResource(template: string): DraftResource {
  const taken = new Set<string>();
  const parameters: Parameter[] = [];
  const segments = template.slice(1).split('/');
  const written = segments.map((segment, index) => {
    const name = /^\{(.*)\}$/s.exec(segment)?.[1];
    if (name === undefined) return segment;
    const capture = uniqueName(captureName(name), taken);
    parameters.push({ name: capture, index });
    return `{${capture}}`;
  });
  const path = `/${written.join('/')}`;
  const last = parameters.at(-1);
  if (!last) return { path, resource: collection(segments, path), parents: [], trailing: [] };
  const objects = parameters.map((parameter) => objectOf(parameter, parameters, segments));
  return {
    path,
    resource: objects.at(-1) ?? collection(segments, path),
    parents: distinct(objects.slice(0, -1)),
    trailing: segments.slice(last.index + 1).filter((segment) => segment !== ''),
  };
}

function collection(segments: readonly string[], path: string): DraftUid {
  const last = segments.filter((segment) => segment !== '').at(-1) ?? '';
  const suffix = singular(last) === last ? 'Endpoint' : 'Collection';
  return { type: `${typeOf(last)}${suffix}`, id: path };
}

function objectOf(parameter: Parameter, all: readonly Parameter[], segments: readonly string[]): DraftUid {
  const isParameter = (index: number) => all.some((other) => other.index === index);
  // In `/repos/{owner}/{repo}` the literal names what the last of the row is; the others name themselves.
  if (isParameter(parameter.index + 1))
    return { type: typeOfParameter(parameter.name), id: `{${parameter.name}}` };
  let start = parameter.index;
  while (isParameter(start - 1)) start -= 1;
  const row = all.filter(({ index }) => index >= start && index <= parameter.index);
  const literal = segments[start - 1];
  return {
    type: literal === undefined ? typeOfParameter(parameter.name) : typeOf(literal),
    // The last of a row is only unique together with the others.
    id: row.map(({ name }) => `{${name}}`).join('/'),
  };
}

function distinct(uids: readonly DraftUid[]): DraftUid[] {
  return [...new Map(uids.map((uid) => [`${uid.type} ${uid.id}`, uid])).values()];
}

const VERBS: ReadonlyMap<string, string> = new Map([
  ['GET', 'view'],
  ['HEAD', 'view'],
  ['QUERY', 'search'],
  ['POST', 'create'],
  ['PUT', 'update'],
  ['PATCH', 'update'],
  ['DELETE', 'delete'],
]);

/** An action's name where the document gives none: the method's verb, with what of the object the path goes on to. */
export function draftAction(method: string, { trailing, resource }: DraftResource): string {
  const isList = method === 'GET' && resource.type.endsWith('Collection');
  const verb = isList ? 'list' : (VERBS.get(method) ?? method.toLowerCase());
  return verb + trailing.map(pascalCase).join('');
}
