import { InputError, type Problem } from '../errors.ts';
import { isRecord } from '../external-json.ts';

/** One operation of an API. */
export interface ApiOperation {
  /** Upper case. */
  readonly method: string;
  /** Path template with the base path of its server. */
  readonly path: string;
  readonly operationId?: string;
}

/** What a draft needs of an OpenAPI document. */
export interface ApiDocument {
  readonly title: string;
  readonly operations: readonly ApiOperation[];
  /** Paths that cannot be followed, in words. */
  readonly skipped: readonly string[];
}

type Json = { readonly [name: string]: unknown };

// OpenAPI 3.0 §4.7.9, 3.1 §4.8.9; 3.2 adds `query`.
const METHODS = ['get', 'put', 'post', 'delete', 'options', 'head', 'patch', 'trace', 'query'];

/** Reads the operations of a parsed OpenAPI 3 document. Throws `InputError` where it is not one. */
export function readOpenApi(document: unknown): ApiDocument {
  const root = isRecord(document) ? document : {};
  const { paths, info } = root;
  const problems: Problem[] = [];
  if (typeof root['openapi'] !== 'string' || !/^3\.[0-2]\.\d/.test(root['openapi']))
    problems.push({
      where: 'openapi',
      message: 'the document is not OpenAPI 3.0 or 3.1 (no such version field)',
    });
  else if (!isRecord(paths) || Object.keys(paths).length === 0)
    problems.push({ where: 'paths', message: 'the document describes no paths' });
  if (problems.length > 0 || !isRecord(paths)) throw new InputError('bindings cannot be drafted:', problems);
  const skipped: string[] = [];
  const operations = Object.entries(paths).flatMap(([path, item]) =>
    path.startsWith('/') ? readPathItem(path, item, root, skipped) : [],
  );
  const title = isRecord(info) && typeof info['title'] === 'string' ? info['title'] : '';
  return { title, operations, skipped };
}

function readPathItem(path: string, given: unknown, root: Json, skipped: string[]): ApiOperation[] {
  const item = resolve(given, root);
  if (!item) {
    skipped.push(`${path}: its description is in another file or missing`);
    return [];
  }
  return METHODS.flatMap((method) => {
    const operation = Object.hasOwn(item, method) ? item[method] : undefined;
    if (!isRecord(operation)) return [];
    const servers = [operation['servers'], item['servers'], root['servers']].find(isServers) ?? [];
    const id = operation['operationId'];
    return {
      method: method.toUpperCase(),
      path: basePath(servers[0]) + path,
      ...(typeof id === 'string' && id !== '' && { operationId: id }),
    };
  });
}

/** Follows a `$ref` within the document (RFC 6901), a few steps at most. */
function resolve(value: unknown, root: Json, steps = 8): Json | undefined {
  if (!isRecord(value)) return undefined;
  const reference = value['$ref'];
  if (typeof reference !== 'string') return value;
  if (!reference.startsWith('#/') || steps === 0) return undefined;
  let target: unknown = root;
  for (const token of reference.slice(2).split('/')) {
    const name = decoded(token).replaceAll('~1', '/').replaceAll('~0', '~');
    target = isRecord(target) && Object.hasOwn(target, name) ? target[name] : undefined;
  }
  return resolve(target, root, steps - 1);
}

function decoded(token: string): string {
  try {
    return decodeURIComponent(token);
  } catch {
    return token;
  }
}

function isServers(value: unknown): value is readonly unknown[] {
  return Array.isArray(value) && value.length > 0;
}

/** The path of a server's URL, variables at their defaults, without a trailing slash. */
function basePath(server: unknown): string {
  if (!isRecord(server) || typeof server['url'] !== 'string') return '';
  const variables = isRecord(server['variables']) ? server['variables'] : {};
  const url = server['url'].replaceAll(/\{([^{}]+)\}/g, (whole, name: string) => {
    const variable = Object.hasOwn(variables, name) ? variables[name] : undefined;
    return isRecord(variable) && typeof variable['default'] === 'string' ? variable['default'] : whole;
  });
  const path = url.replace(/^(?:[A-Za-z][A-Za-z0-9+.-]*:)?\/\/[^/?#]*/, '').replace(/[?#].*$/s, '');
  return path.startsWith('/') ? path.replace(/\/+$/, '') : '';
}
