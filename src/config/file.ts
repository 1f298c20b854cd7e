import { readFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { parseDocument } from 'yaml';
import { z } from 'zod';
import { type Config, ConfigSchema } from '../config.ts';
import { InputError, type Problem, messageOf } from '../pdp/errors.ts';
import { isRecord } from '../pdp/external-json.ts';
import { suggestion } from '../pdp/suggest.ts';

/** A JSON Schema node, as far as we walk it. */
export interface SchemaNode {
  readonly type?: string;
  readonly description?: string;
  readonly default?: unknown;
  readonly format?: string;
  readonly enum?: readonly unknown[];
  readonly const?: unknown;
  readonly properties?: { readonly [key: string]: SchemaNode };
  readonly required?: readonly string[];
  readonly items?: SchemaNode;
  readonly anyOf?: readonly SchemaNode[];
  readonly oneOf?: readonly SchemaNode[];
}

type ConfigJsonSchema = SchemaNode & { readonly [key: string]: unknown };

let jsonSchema: ConfigJsonSchema | undefined;

/** The JSON Schema of `pdp.yaml`. */
export function configJsonSchema(): ConfigJsonSchema {
  return (jsonSchema ??= z.toJSONSchema(ConfigSchema, { io: 'input' }) as ConfigJsonSchema);
}

/** One setting that an environment variable can set. */
export interface Setting {
  /** Keys from the top, e.g. `['audit', 'dir']`. */
  readonly path: readonly string[];
  /** E.g. `PDP_AUDIT_DIR`. */
  readonly env: string;
  readonly node: SchemaNode;
}

/** Every setting that is not itself a group of settings, in order of the schema. */
export function settings(node: SchemaNode = configJsonSchema(), path: readonly string[] = []): Setting[] {
  return Object.entries(node.properties ?? {}).flatMap(([key, child]) => {
    const at = [...path, key];
    return child.properties
      ? settings(child, at)
      : [{ path: at, env: `PDP_${at.join('_').toUpperCase()}`, node: child }];
  });
}

/** A loaded configuration and what its reader should know. */
export interface LoadedConfig {
  readonly config: Config;
  readonly warnings: readonly string[];
}

type Environment = { readonly [name: string]: string | undefined };

/**
 * Loads the configuration: defaults < file < environment. Paths in the file are relative to the file, paths in the environment to
 * the working directory. Throws `InputError` with every problem, each with its path.
 */
export function loadConfig(filePath: string | undefined, environment: Environment): LoadedConfig {
  const fromFile =
    filePath === undefined
      ? {}
      : absolutePaths(readYaml(filePath), configJsonSchema(), dirname(resolve(filePath)));
  const { values, warnings, problems } = fromEnvironment(environment);
  const parsed = ConfigSchema.safeParse(merge(fromFile, values));
  const source = filePath ?? 'configuration';
  if (!parsed.success) problems.push(...parsed.error.issues.flatMap((issue) => problemsOf(issue, source)));
  if (problems.length > 0 || !parsed.success)
    throw new InputError(`the configuration is not valid${filePath === undefined ? NO_FILE : ''}:`, problems);
  return {
    config: deepFreeze(absolutePaths(parsed.data, configJsonSchema(), process.cwd()) as Config),
    warnings,
  };
}

/** Without a file nearly everything is missing, and the problems would not say why. */
const NO_FILE = ' (no configuration file: ./pdp.yaml is not there; give --config)';

function readYaml(filePath: string): unknown {
  let text: string;
  try {
    text = readFileSync(filePath, 'utf8');
  } catch (error) {
    throw new InputError('the configuration cannot be read:', [
      { where: filePath, message: (error as Error).message },
    ]);
  }
  return parseYaml(text, filePath) ?? {};
}

function parseYaml(text: string, where: string): unknown {
  const document = parseDocument(text);
  const problems: Problem[] = document.errors.map((error) => ({
    where,
    ...(error.linePos && { line: error.linePos[0].line, column: error.linePos[0].col }),
    message: error.message.split('\n')[0] ?? '',
  }));
  try {
    // Aliases are only looked up here.
    if (problems.length === 0) return document.toJS() as unknown;
  } catch (error) {
    problems.push({ where, message: messageOf(error) });
  }
  throw new InputError('the configuration is not YAML:', problems);
}

function fromEnvironment(environment: Environment): {
  values: object;
  warnings: string[];
  problems: Problem[];
} {
  const known = new Map(settings().map((setting) => [setting.env, setting]));
  const values: Record<string, unknown> = {};
  const warnings: string[] = [];
  const problems: Problem[] = [];
  for (const [env, text] of Object.entries(environment)) {
    if (!env.startsWith('PDP_') || env.startsWith('PDP_TEST_') || env === 'PDP_CONFIG' || text === undefined)
      continue;
    const setting = known.get(env);
    if (!setting) {
      // Not an error: Kubernetes sets variables like PDP_SERVICE_HOST by itself for a service called pdp.
      warnings.push(`${env} is no setting${suggestion(env, known.keys())}`);
      continue;
    }
    try {
      setAt(values, setting.path, absolutePaths(valueOf(text, setting.node), setting.node, process.cwd()));
    } catch (error) {
      const causes = error instanceof InputError ? error.problems : [{ message: messageOf(error) }];
      problems.push(...causes.map(({ message }) => ({ where: env, message })));
    }
  }
  return { values, warnings, problems };
}

function valueOf(text: string, node: SchemaNode): unknown {
  switch (node.type) {
    case 'string':
      return text;
    case 'boolean':
      if (text !== 'true' && text !== 'false') throw new Error("must be 'true' or 'false'");
      return text === 'true';
    case 'integer':
      if (!/^-?\d+$/.test(text)) throw new Error('must be an integer');
      return Number(text);
    default:
      return parseYaml(text, 'the value');
  }
}

function setAt(
  target: Record<string, unknown>,
  [key = '', ...rest]: readonly string[],
  value: unknown,
): void {
  if (rest.length === 0) target[key] = value;
  else setAt((target[key] ??= {}) as Record<string, unknown>, rest, value);
}

function merge(base: unknown, over: unknown): unknown {
  if (!isRecord(base) || !isRecord(over)) return over;
  const merged: Record<string, unknown> = { ...base };
  for (const [key, value] of Object.entries(over))
    merged[key] = key in base ? merge(base[key], value) : value;
  return merged;
}

/** Makes every string that the schema marks as a path absolute. */
function absolutePaths(value: unknown, node: SchemaNode, base: string): unknown {
  if (typeof value === 'string') {
    // An empty path stays one, for the schema to refuse: resolved, it would be the working directory.
    return node.format === 'path' && value !== '' ? resolve(base, value) : value;
  }
  if (Array.isArray(value))
    return node.items ? value.map((item) => absolutePaths(item, node.items as SchemaNode, base)) : value;
  if (!isRecord(value)) return value;
  const shapes = shapesOf(node);
  return Object.fromEntries(
    Object.entries(value).map(([key, item]) => {
      const child = shapes.map((shape) => shape.properties?.[key]).find((found) => found !== undefined);
      return [key, child ? absolutePaths(item, child, base) : item];
    }),
  );
}

/** The node itself and its alternatives. */
function shapesOf(node: SchemaNode): readonly SchemaNode[] {
  return [node, ...(node.anyOf ?? []), ...(node.oneOf ?? [])];
}

function problemsOf(issue: z.core.$ZodIssue, source: string): Problem[] {
  const at = issue.path
    .map((part) => (typeof part === 'number' ? `[${part}]` : `.${String(part)}`))
    .join('')
    .replace(/^\./, '');
  const where = at === '' ? source : `${source}: ${at}`;
  if (issue.code !== 'unrecognized_keys') return [{ where, message: issue.message }];
  const node = nodeAt(configJsonSchema(), issue.path);
  const known = node ? shapesOf(node).flatMap((shape) => Object.keys(shape.properties ?? {})) : [];
  return issue.keys.map((key) => ({ where, message: `unknown key '${key}'${suggestion(key, known)}` }));
}

function nodeAt(node: SchemaNode | undefined, path: readonly PropertyKey[]): SchemaNode | undefined {
  const [key, ...rest] = path;
  if (key === undefined || node === undefined) return node;
  return nodeAt(typeof key === 'number' ? node.items : node.properties?.[String(key)], rest);
}

function deepFreeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null) {
    for (const child of Object.values(value)) deepFreeze(child);
    Object.freeze(value);
  }
  return value;
}
