import { createHash } from 'node:crypto';
import type { Binding } from './bindings/binding.ts';
import { readBindings } from './bindings/read-bindings.ts';
import { CedarChecker, type ParsedPolicy, type PolicyTextSet } from './cedar.ts';
import { distinctionsOf } from './distinctions.ts';
import { type PolicyStatement, problemAt, splitStatements } from './cedar-text.ts';
import { InputError, type Problem } from './errors.ts';
import type { CedarEntity, EntityUid } from './evaluation.ts';
import { maxAgeProblems } from './max-age-problems.ts';
import { policyLimitProblem } from './policy-limits.ts';
import { policyNotes } from './policy-notes.ts';
import type { PolicyEntry, Reads } from './policy-snapshot.ts';
import type { PolicyTexts, SourceText } from './policy-source.ts';
import { collectReads, createReadsCollector, finishReads } from './reads.ts';
import { type SchemaShapes, schemaShapes } from './schema-shape.ts';
import { scopeOf } from './scope-index.ts';
import { readStaticEntities } from './static-entities.ts';
import { readTemplateLinks } from './template-links.ts';

/** A policy set that was found valid: plain data, ready to be assembled into a snapshot here or in another thread. */
export interface AnalysedPolicies {
  readonly digest: string;
  readonly schema: string;
  readonly shapes: SchemaShapes;
  readonly entities: ReadonlyMap<string, CedarEntity>;
  readonly reads: Reads;
  readonly literalEntities: readonly string[];
  /** Uid texts of actions that conditions of policies name. */
  readonly namedActions: readonly string[];
  /** Static policies and links, by id, sorted by id. */
  readonly entries: readonly PolicyEntry[];
  /** Texts of templates by id. */
  readonly templates: ReadonlyMap<string, string>;
  readonly bindings: readonly Binding[];
  readonly warnings: readonly Problem[];
}

/** A statement after parsing: a static policy, or a template that links make policies of. */
interface Parsed {
  readonly id: string;
  readonly statement: PolicyStatement;
  readonly json: ParsedPolicy;
  readonly isTemplate: boolean;
}

/**
 * Validates texts whole, in strict mode. Throws `InputError` with every problem found, each with file, line and column. Takes time
 * in proportion to the set (about half a millisecond per policy): large sets belong off the serving thread.
 *
 * Each policy needs an `@id`: it names the policy in records and answers and must survive edits around it.
 */
export function analysePolicies(texts: PolicyTexts): AnalysedPolicies {
  const checker = new CedarChecker();
  const problems: Problem[] = [];
  const schema = texts.schemas.map((source) => source.text).join('\n');
  const shapes = checkSchema(checker, texts.schemas, schema, problems);
  const parsed = parseStatements(checker, texts.policies, problems);
  stopAt(problems);
  const { entries, templates } = makeEntries(parsed, texts, problems);
  stopAt(problems);
  const warnings = validate(checker, schema, entries, templates, parsed, problems);
  const entities = readStaticEntities(texts.entities, shapes, problems);
  const bindings = readBindings(texts.bindings ?? [], shapes, problems);
  stopAt(problems);
  const complaints = entities.size === 0 ? [] : checker.entities([...entities.values()], schema);
  const where = texts.entities.map((source) => source.file).join(', ');
  problems.push(...complaints.map(({ message }) => ({ where, message })));
  stopAt(problems);
  return {
    digest: digestOf(schema, entries, templates, entities, texts),
    schema,
    shapes,
    entities,
    ...readsOf(parsed, entries, shapes, entities),
    entries,
    templates,
    bindings,
    warnings,
  };
}

function stopAt(problems: readonly Problem[]): void {
  if (problems.length > 0) throw new InputError('the policy set is not valid:', problems);
}

function checkSchema(
  checker: CedarChecker,
  sources: readonly SourceText[],
  schema: string,
  problems: Problem[],
): SchemaShapes {
  const answer = checker.schema(schema);
  if ('json' in answer) {
    problems.push(...maxAgeProblems(answer.json, sources));
    return schemaShapes(answer.json);
  }
  problems.push(...answer.complaints.map(({ offset, message }) => schemaProblem(sources, offset, message)));
  stopAt(problems);
  throw new TypeError('a schema was refused without a complaint');
}

/** Schemas are checked joined, since one may use what another declares; the offset tells which one is meant. */
function schemaProblem(sources: readonly SourceText[], offset: number | undefined, message: string): Problem {
  let start = 0;
  for (const { file, text } of sources) {
    const end = start + Buffer.byteLength(text) + 1;
    if (offset !== undefined && offset < end)
      return problemAt({ file, fileText: text, offset: 0, text }, offset - start, message);
    start = end;
  }
  return { where: sources.map((source) => source.file).join(' with '), message };
}

function parseStatements(
  checker: CedarChecker,
  sources: readonly SourceText[],
  problems: Problem[],
): Parsed[] {
  const parsed = new Map<string, Parsed>();
  for (const statement of sources.flatMap(splitStatements)) {
    const isTemplate = /\?(?:principal|resource)\b/.test(statement.text);
    const answer = isTemplate ? checker.template(statement.text) : checker.policy(statement.text);
    if ('complaints' in answer) {
      problems.push(
        ...answer.complaints.map((complaint) => problemAt(statement, complaint.offset, complaint.message)),
      );
      continue;
    }
    const problem = idProblem(answer.json, parsed) ?? policyLimitProblem(answer.json);
    if (problem !== undefined) problems.push(problemAt(statement, 0, problem));
    const id = answer.json.annotations?.['id'];
    if (id) parsed.set(id, { id, statement, json: answer.json, isTemplate });
  }
  return [...parsed.values()].sort((a, b) => (a.id < b.id ? -1 : 1));
}

function idProblem(json: ParsedPolicy, parsed: ReadonlyMap<string, Parsed>): string | undefined {
  const id = json.annotations?.['id'];
  if (!id) return 'the policy has no @id("…"); records and answers name policies by it';
  if (!/^[A-Za-z0-9_.:/-]{1,128}$/.test(id))
    return `@id(${JSON.stringify(id)}) may only hold letters, digits and _ . : / -`;
  const other = parsed.get(id);
  return other && `@id("${id}") is taken already by ${other.statement.file}`;
}

function makeEntries(
  parsed: readonly Parsed[],
  texts: PolicyTexts,
  problems: Problem[],
): Pick<AnalysedPolicies, 'entries' | 'templates'> {
  const templates = new Map(parsed.filter((one) => one.isTemplate).map((one) => [one.id, one]));
  const entries = parsed.filter((one) => !one.isTemplate).map((one) => entryOf(one, problems));
  const ids = new Set(parsed.map((one) => one.id));
  for (const link of readTemplateLinks(texts.links ?? [], problems)) {
    const template = templates.get(link.template);
    if (!template) problems.push({ where: link.where, message: `there is no template '${link.template}'` });
    if (ids.has(link.id))
      problems.push({ where: link.where, message: `the id '${link.id}' is taken already` });
    ids.add(link.id);
    if (!template) continue;
    const base = entryOf(template, []);
    entries.push({
      ...base,
      id: link.id,
      scope: scopeOf(link.id, template.json, link.values),
      distinctions: distinctionsOf(template.json, Object.values(link.values) as EntityUid[]),
      link: { template: link.template, values: link.values },
    });
  }
  for (const template of templates.values()) entryOf(template, problems);
  return {
    entries: entries.sort((a, b) => (a.id < b.id ? -1 : 1)),
    templates: new Map([...templates.values()].map((one) => [one.id, one.statement.text])),
  };
}

function entryOf({ id, statement, json }: Parsed, problems: Problem[]): PolicyEntry {
  const { line = 1, column = 1 } = problemAt(statement, 0, '');
  return {
    id,
    text: statement.text,
    file: statement.file,
    offset: statement.offset,
    line,
    column,
    notes: policyNotes(json, statement, problems),
    scope: scopeOf(id, json),
    distinctions: distinctionsOf(json),
  };
}

const IMPOSSIBLE = /policy is impossible|unable to find an applicable action/;

/** How many policies are validated in one call: a call's cost is linear, its memory is given back between calls. */
const VALIDATION_BATCH = 500;

function validate(
  checker: CedarChecker,
  schema: string,
  entries: readonly PolicyEntry[],
  templates: ReadonlyMap<string, string>,
  parsed: readonly Parsed[],
  problems: Problem[],
): Problem[] {
  const statements = new Map(parsed.map((one) => [one.id, one.statement]));
  const warnings: Problem[] = [];
  for (let start = 0; start < entries.length; start += VALIDATION_BATCH) {
    const batch = entries.slice(start, start + VALIDATION_BATCH);
    const answer = checker.validate({ schema, ...policyTextSet(batch, templates) });
    const place = ({ policyId, offset, message }: (typeof answer.errors)[number]): Problem => {
      const entry = batch.find((one) => one.id === policyId);
      const statement = statements.get(entry?.link?.template ?? policyId);
      return statement ? problemAt(statement, offset, message) : { where: 'policies', message };
    };
    problems.push(...answer.errors.map(place));
    for (const warning of answer.warnings) {
      // A permit that can never apply is a slip; a forbid that can never apply is a door that somebody thinks is shut.
      const isForbid = batch.find((one) => one.id === warning.policyId)?.notes.effect === 'forbid';
      (isForbid && IMPOSSIBLE.test(warning.message) ? problems : warnings).push(place(warning));
    }
  }
  return warnings;
}

/** Some policies of a set in the form that the engine loads. */
export function policyTextSet(
  entries: Iterable<PolicyEntry>,
  templates: ReadonlyMap<string, string>,
): PolicyTextSet {
  const set: {
    policies: Record<string, string>;
    templates: Record<string, string>;
    links: { id: string; template: string; values: object }[];
  } = { policies: {}, templates: {}, links: [] };
  for (const { id, text, link } of entries) {
    if (!link) set.policies[id] = text;
    else {
      set.templates[link.template] = templates.get(link.template) ?? '';
      set.links.push({ id, ...link });
    }
  }
  return set;
}

function readsOf(
  parsed: readonly Parsed[],
  entries: readonly PolicyEntry[],
  shapes: SchemaShapes,
  entities: ReadonlyMap<string, CedarEntity>,
): Pick<AnalysedPolicies, 'reads' | 'literalEntities' | 'namedActions'> {
  const collector = createReadsCollector();
  for (const { json } of parsed) collectReads(json, collector);
  const slots = entries.flatMap(({ link }) => Object.values(link?.values ?? {}) as EntityUid[]);
  for (const { type } of slots) collector.entityTypes.add(type);
  const contextKeys = [...shapes.contexts.values()].flatMap((shape) => [...shape.fields.keys()]);
  return {
    reads: finishReads(collector, { contextKeys, entityTypes: shapes.entities.keys() }, entities.values()),
    literalEntities: [...collector.literals].filter((uid) => entities.has(uid)),
    namedActions: [...collector.literals].filter((uid) => shapes.actionUids.has(uid)),
  };
}

function digestOf(
  schema: string,
  entries: readonly PolicyEntry[],
  templates: ReadonlyMap<string, string>,
  entities: ReadonlyMap<string, CedarEntity>,
  { bindings = [] }: PolicyTexts,
): string {
  const content = JSON.stringify([
    schema,
    entries.map(({ id, text, link }) => [id, link ?? text]),
    [...templates].sort(([a], [b]) => (a < b ? -1 : 1)),
    [...entities].sort(([a], [b]) => (a < b ? -1 : 1)),
    bindings.map((source) => source.text),
  ]);
  return `sha256:${createHash('sha256').update(content).digest('hex')}`;
}
