import { type PolicyStatement, problemAt } from './cedar-text.ts';
import type { Problem } from './errors.ts';
import { IP_FACTS } from './facts/ip-facts.ts';
import { MAX_AGE, parseMaxAge } from './max-age.ts';
import type { SourceText } from './policy-source.ts';
import { type Annotated, type SchemaJson, type SchemaType, commonTypesOf } from './schema-shape.ts';

/** An annotation that is wrong. */
interface Wrong {
  /** What it is before: an attribute, or the name of what is declared. */
  readonly target: string;
  /** What it says; empty where it says nothing. */
  readonly value: string;
  readonly why: string;
}

/**
 * What is wrong with the maximum ages of a schema. One that cannot be read, or that stands where nothing can be missing, would have no
 * effect, and nobody would notice.
 */
export function maxAgeProblems(schema: SchemaJson, sources: readonly SourceText[]): Problem[] {
  const wrong = [...wrongInSchema(schema)];
  if (wrong.length === 0) return [];
  const written = sources.flatMap(annotationsIn);
  return wrong.map(({ target, value, why }) => {
    const message = `@${MAX_AGE}(${JSON.stringify(value)}) of '${target}' ${why}`;
    const at = written.findIndex((one) => one.target === target && one.value === value);
    const [found] = at === -1 ? [] : written.splice(at, 1);
    return found
      ? problemAt(found, 0, message)
      : { where: sources.map(({ file }) => file).join(' with '), message };
  });
}

function* wrongInSchema(schema: SchemaJson): Iterable<Wrong> {
  const common = commonTypesOf(schema);
  const seen = new Set<SchemaType>();
  for (const [namespace, definition] of Object.entries(schema)) {
    const { commonTypes = {}, entityTypes, actions } = definition;
    yield* misplaced({ [namespace]: definition });
    for (const part of [commonTypes, entityTypes, actions]) yield* misplaced(part);
    for (const type of Object.values(commonTypes)) yield* wrongInType(type);
    for (const { shape } of Object.values(entityTypes)) if (shape) yield* wrongInType(shape);
    for (const { appliesTo } of Object.values(actions)) {
      if (!appliesTo?.context) continue;
      yield* wrongInType(appliesTo.context);
      yield* withoutEffect(appliesTo.context, common, seen);
    }
  }
}

function* misplaced(declared: { readonly [name: string]: Annotated }): Iterable<Wrong> {
  for (const [target, { annotations = {} }] of Object.entries(declared)) {
    const value = annotations[MAX_AGE];
    if (value !== undefined)
      yield { target, value, why: 'has no effect there: it belongs before an attribute' };
  }
}

function* wrongInType({ attributes = {}, element }: SchemaType): Iterable<Wrong> {
  if (element) yield* wrongInType(element);
  for (const [target, attribute] of Object.entries(attributes)) {
    const value = attribute.annotations?.[MAX_AGE];
    if (value !== undefined && parseMaxAge(value) === undefined)
      yield { target, value, why: 'is not a duration such as "90s", "5m", "24h" or "30d"' };
    else if (value !== undefined && attribute.required !== false)
      yield { target, value, why: `needs an attribute that may be missing: declare it as '${target}?'` };
    yield* wrongInType(attribute);
  }
}

/** Of what stands in the context, information points know the client's address and nothing else; parties are entities. */
function* withoutEffect(
  type: SchemaType,
  common: ReadonlyMap<string, SchemaType>,
  seen: Set<SchemaType>,
): Iterable<Wrong> {
  const named = common.get(type.type) ?? type;
  if (seen.has(named)) return;
  seen.add(named);
  if (named.element) yield* withoutEffect(named.element, common, seen);
  for (const [target, attribute] of Object.entries(named.attributes ?? {})) {
    if (target === IP_FACTS) continue;
    const value = attribute.annotations?.[MAX_AGE];
    if (value !== undefined && parseMaxAge(value) !== undefined && attribute.required === false)
      yield { target, value, why: `has no effect in the context, but in '${IP_FACTS}'` };
    yield* withoutEffect(attribute, common, seen);
  }
}

interface Written extends PolicyStatement {
  readonly target: string;
  readonly value: string;
}

const TOKEN = /\/\/[^\n]*|"(?:[^"\\]|\\.)*"|\w+|\S/gs;

/** The annotations of a schema file, in order. Cedar's JSON has everything of them but where they stand. */
function annotationsIn({ file, text }: SourceText): Written[] {
  const tokens = [...text.matchAll(TOKEN)].filter(([token]) => !token.startsWith('//'));
  return tokens.flatMap((token, at) => {
    if (token[0] !== '@' || tokens[at + 1]?.[0] !== MAX_AGE) return [];
    const value = tokens[at + 2]?.[0] === '(' ? unquoted(tokens[at + 3]?.[0]) : '';
    const offset = token.index;
    return [{ file, fileText: text, offset, text: '', target: targetAfter(tokens, at), value }];
  });
}

/** What the annotations from `at` on are before: an attribute, else the name of what is declared. */
function targetAfter(tokens: readonly RegExpExecArray[], at: number): string {
  let next = at;
  while (tokens[next]?.[0] === '@') next += tokens[next + 2]?.[0] === '(' ? 5 : 2;
  const [first, second] = [tokens[next]?.[0], tokens[next + 1]?.[0]];
  return unquoted(second === ':' || second === '?' ? first : second);
}

function unquoted(token = ''): string {
  return token.startsWith('"') ? token.slice(1, -1) : token;
}
