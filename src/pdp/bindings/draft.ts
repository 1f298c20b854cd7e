import { stringify } from 'yaml';
import { InputError } from '../errors.ts';
import { NAMESPACE } from '../entities.ts';
import { pascalCase, uniqueName } from './draft-names.ts';
import { type DraftResource, type DraftUid, draftAction, draftResource } from './draft-resource.ts';
import { type ApiOperation, readOpenApi } from './openapi.ts';
import { parsePathTemplate } from './path-pattern.ts';

/** How to draft. */
export interface DraftOptions {
  /** Cedar namespace of the types and actions, e.g. `Clinic`. */
  readonly namespace: string;
}

/** Texts of `bindings.yaml` and of the schema that goes with it and with the shared one. */
export interface Draft {
  readonly bindings: string;
  readonly schema: string;
}

interface DraftBinding extends DraftResource {
  readonly id: string;
  readonly method: string;
  readonly action: string;
}

/**
 * Drafts bindings and a schema from a parsed OpenAPI 3.0 or 3.1 document, for an author to go on from: one binding for each path and
 * method. What has no binding form (half a segment as a parameter) is told in a comment. Throws `InputError` where the document
 * or the namespace cannot be used.
 */
export function draftFromOpenApi(document: unknown, options: DraftOptions): Draft {
  checkNamespace(options.namespace);
  const { operations, skipped, title } = readOpenApi(document);
  const notes = [...skipped];
  const bindings = draftBindings(operations, notes);
  if (bindings.length === 0)
    throw new InputError('bindings cannot be drafted:', [
      {
        where: 'paths',
        message: `no path has a binding form: ${notes.join('; ') || 'none has an operation'}`,
      },
    ]);
  return {
    bindings: bindingsText(bindings, notes, title, options.namespace),
    schema: schemaText(bindings, options.namespace),
  };
}

/** The namespace that a document's title suggests. */
export function namespaceFor(document: unknown): string {
  const name = pascalCase(readOpenApi(document).title.replace(/\b(?:api|service)\b/gi, ' '));
  return name === 'Root' || name === NAMESPACE ? 'Api' : name;
}

// Identifiers that the Cedar grammar keeps to itself.
const CEDAR_WORDS: ReadonlySet<string> = new Set([
  'true',
  'false',
  'if',
  'then',
  'else',
  'in',
  'is',
  'like',
  'has',
  '__cedar',
]);

function checkNamespace(namespace: string): void {
  const names = namespace.split('::');
  const usable = names.every((name) => /^[A-Za-z_]\w*$/.test(name) && !CEDAR_WORDS.has(name));
  if (usable && namespace !== NAMESPACE) return;
  const why = usable
    ? 'is the namespace of the shared schema'
    : 'is not a Cedar namespace, like Clinic or Acme::Clinic';
  throw new InputError('bindings cannot be drafted:', [
    { where: 'namespace', message: `'${namespace}' ${why}` },
  ]);
}

function draftBindings(operations: readonly ApiOperation[], notes: string[]): DraftBinding[] {
  const ids = new Set<string>();
  const routes = new Set<string>();
  const bindings: DraftBinding[] = [];
  for (const { method, path, operationId } of operations) {
    const resource = draftResource(canonicalTemplate(path));
    const pattern = parsePathTemplate(resource.path);
    const route = typeof pattern === 'string' ? '' : `${method} ${pattern.key}`;
    if (typeof pattern === 'string') notes.push(`${method} ${path}: ${pattern}`);
    else if (routes.has(route))
      notes.push(`${method} ${path}: another path is the same but for its parameters`);
    else {
      routes.add(route);
      const id = uniqueName(bindingId(method, path, operationId), ids, '-');
      bindings.push({ ...resource, id, method, action: actionName(operationId, method, resource) });
    }
  }
  return bindings;
}

/** Literal segments as they arrive: percent-encoded. */
function canonicalTemplate(path: string): string {
  const encoded = (text: string) => encodeURI(text.toWellFormed()).replaceAll('%25', '%');
  return path.replaceAll(/[^{}/]+|\{[^{}]*\}/g, (part) => (part.startsWith('{') ? part : encoded(part)));
}

function actionName(operationId: string | undefined, method: string, resource: DraftResource): string {
  // Cedar writes controls in escapes of its own.
  return operationId?.toWellFormed().replaceAll(/\p{C}/gu, '-') ?? draftAction(method, resource);
}

function bindingId(method: string, path: string, operationId: string | undefined): string {
  const named = idText(operationId ?? '');
  return /[A-Za-z0-9]/.test(named) ? named : idText(`${method.toLowerCase()}${path}`);
}

/** What is left of a text when it becomes the id of a binding. Short enough to be numbered. */
function idText(text: string): string {
  return text
    .replaceAll(/[{}]/g, '')
    .replaceAll(/[^A-Za-z0-9_.:-]+/g, '-')
    .replace(/-$/, '')
    .slice(0, 120);
}

function bindingsText(
  bindings: readonly DraftBinding[],
  notes: readonly string[],
  title: string,
  namespace: string,
): string {
  const qualified = ({ type, id }: DraftUid) => ({ type: `${namespace}::${type}`, id });
  const written = bindings.map(({ id, method, path, action, resource, parents }) => ({
    id,
    match: { method, path },
    action: `${namespace}::Action::${JSON.stringify(action)}`,
    resource: { ...qualified(resource), ...(parents.length > 0 && { parents: parents.map(qualified) }) },
  }));
  const comments = [
    `Drafted from the OpenAPI document ${JSON.stringify(title)}. Go through it before you rely on it:`,
    '- add `host` or `service` to `match` where other applications are asked about here too;',
    '- parents are what the URL says: where the application does not check that an object is in its parent, let an information point say it.',
    ...(notes.length > 0 ? ['Not drafted:', ...notes.map((note) => `- ${note}`)] : []),
  ];
  return `${comments.map((comment) => `# ${plain(comment)}\n`).join('')}${stringify({ bindings: written }, { lineWidth: 0 })}`;
}

function plain(text: string): string {
  return text.replaceAll(/\p{C}/gu, ' ');
}

function schemaText(bindings: readonly DraftBinding[], namespace: string): string {
  const parents = new Map<string, Set<string>>();
  const actions = new Map<string, Set<string>>();
  for (const { resource, parents: above, action } of bindings) {
    for (const { type } of above) if (!parents.has(type)) parents.set(type, new Set());
    const types = parents.get(resource.type) ?? new Set();
    parents.set(resource.type, types);
    for (const { type } of above) types.add(type);
    actions.set(action, (actions.get(action) ?? new Set()).add(resource.type));
  }
  const entities = [...parents].map(
    ([type, above]) => `  entity ${type}${above.size > 0 ? ` in [${list(above)}]` : ''};`,
  );
  const declared = [...actions].map(([action, types]) => actionText(action, types));
  return `namespace ${namespace} {\n${entities.join('\n')}\n\n${declared.join('\n')}\n}\n`;
}

function actionText(action: string, types: ReadonlySet<string>): string {
  const principals = ['User', 'Workload', 'Anonymous'].map((name) => `${NAMESPACE}::${name}`);
  const body = [
    `principal: [${principals.join(', ')}]`,
    `resource: [${list(types)}]`,
    `context: ${NAMESPACE}::Facts`,
  ];
  return `  action ${JSON.stringify(action)} appliesTo {\n${body.map((line) => `    ${line},\n`).join('')}  };`;
}

function list(types: ReadonlySet<string>): string {
  return [...types].sort().join(', ');
}
