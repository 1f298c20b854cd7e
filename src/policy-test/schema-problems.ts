import { z } from 'zod';
import type { Problem } from '../pdp/errors.ts';
import type { JsonSource } from './json-source.ts';
import { suggestion } from '../pdp/suggest.ts';

type Path = readonly (string | number)[];

interface SchemaNode {
  readonly properties?: { readonly [key: string]: SchemaNode };
  readonly additionalProperties?: SchemaNode | boolean;
  readonly items?: SchemaNode;
  readonly anyOf?: readonly SchemaNode[];
}

/** Where a part of a test file stands: what to call it, and how to find it in the file. */
export interface Part {
  readonly source: JsonSource;
  /** E.g. `'web reads'`, the name of the case. */
  readonly label: string;
  readonly path: Path;
}

/** Reads a part of a test file by its schema; adds a problem, with position and suggestion, for everything that does not fit. */
export function readPart<T extends z.ZodType>(
  schema: T,
  value: unknown,
  part: Part,
  problems: Problem[],
): z.output<T> | undefined {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  for (const issue of parsed.error.issues) problems.push(...problemsOf(issue, schema, value, part));
  return undefined;
}

function problemsOf(issue: z.core.$ZodIssue, schema: z.ZodType, value: unknown, part: Part): Problem[] {
  const path = issue.path as Path;
  const at = [...part.path, ...path];
  const words = (text: string) =>
    [part.label, path.join('.')].filter((word) => word !== '').join(', ') + `: ${text}`;
  if (issue.code === 'unrecognized_keys') {
    const known = knownKeys(z.toJSONSchema(schema, { io: 'input' }) as SchemaNode, path);
    return issue.keys.map((key) =>
      part.source.problem(at, words(`'${key}' is not known here${suggestion(key, known)}`), key),
    );
  }
  const found = path.reduce<unknown>(
    (inner, step) => (inner as { [step: string]: unknown } | null | undefined)?.[step],
    value,
  );
  if (issue.code === 'invalid_value' && typeof found === 'string') {
    const values = issue.values.map(String);
    const one = values.length > 8 ? '' : `; it is one of ${values.join(', ')}`;
    return [
      part.source.problem(at, words(`'${found}' is not known here${suggestion(found, values) || one}`)),
    ];
  }
  return [part.source.problem(at, words(found === undefined ? 'is missing' : issue.message))];
}

function knownKeys(root: SchemaNode, path: Path): string[] {
  const node = path.reduce<SchemaNode | undefined>((at, step) => {
    const inner = withMembers(at);
    const { additionalProperties: other } = inner ?? {};
    return inner?.items ?? inner?.properties?.[step] ?? (typeof other === 'object' ? other : undefined);
  }, root);
  return Object.keys(withMembers(node)?.properties ?? {});
}

/** Looks through `… or null`. */
function withMembers(node: SchemaNode | undefined): SchemaNode | undefined {
  return node?.anyOf?.find((one) => one.properties ?? one.items ?? one.additionalProperties) ?? node;
}
