import { createHash } from 'node:crypto';
import { CedarChecker, CedarEngine, type CompiledTexts, type ParsedPolicy } from './cedar.ts';
import { type PolicyStatement, problemAt, splitStatements } from './cedar-text.ts';
import { InputError, type Problem } from './errors.ts';
import { type CedarEntity, uidText } from './evaluation.ts';
import type { PolicyNotes, PolicySnapshot } from './policy-snapshot.ts';
import { policyLimitProblem } from './policy-limits.ts';
import { policyNotes } from './policy-notes.ts';
import type { PolicyTexts, SourceText } from './policy-source.ts';
import { collectReads, createReadsCollector, finishReads } from './reads.ts';
import { type SchemaShapes, schemaShapes } from './schema-shape.ts';
import { readStaticEntities } from './static-entities.ts';

/** A snapshot with what its author should still know. */
export interface CompiledSnapshot {
  readonly snapshot: PolicySnapshot;
  /** Validation warnings, in words, with positions. */
  readonly warnings: readonly Problem[];
}

interface PolicyEntry {
  readonly id: string;
  readonly statement: PolicyStatement;
  readonly json: ParsedPolicy;
  readonly notes: PolicyNotes;
}

/**
 * Validates texts whole, in strict mode, and makes a snapshot of them. Throws `InputError` with every problem found, each with
 * file, line and column.
 *
 * Each policy needs an `@id`: it names the policy in records and answers and must survive edits around it.
 */
export function compileSnapshot(texts: PolicyTexts, now: number): CompiledSnapshot {
  const checker = new CedarChecker();
  const problems: Problem[] = [];
  const schema = texts.schemas.map((source) => source.text).join('\n');
  const shapes = checkSchema(checker, texts.schemas, schema, problems);
  const entries = parsePolicies(checker, texts.policies, problems);
  stopAt(problems);
  const compiled: CompiledTexts = {
    schema,
    policies: Object.fromEntries(entries.map((entry) => [entry.id, entry.statement.text])),
  };
  const warnings = validatePolicies(checker, compiled, entries, problems);
  const entities = readStaticEntities(texts.entities, shapes, problems);
  stopAt(problems);
  const complaints = entities.size === 0 ? [] : checker.entities([...entities.values()], schema);
  for (const complaint of complaints) {
    problems.push({
      where: texts.entities.map((source) => source.file).join(', '),
      message: complaint.message,
    });
  }
  stopAt(problems);
  return { snapshot: assemble(compiled, entries, shapes, entities, now), warnings };
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
  // One by one first: an offset into the joined text would name no file.
  const answers = sources.map((source) => ({ source, answer: checker.schema(source.text) }));
  for (const { source, answer } of answers) {
    if ('json' in answer) continue;
    const statement = { file: source.file, fileText: source.text, offset: 0, text: source.text };
    problems.push(
      ...answer.complaints.map((complaint) => problemAt(statement, complaint.offset, complaint.message)),
    );
  }
  stopAt(problems);
  const joined = answers.length === 1 && answers[0] ? answers[0].answer : checker.schema(schema);
  if ('json' in joined) return schemaShapes(joined.json);
  const where = sources.map((source) => source.file).join(' with ');
  throw new InputError(
    'the schemas do not go together:',
    joined.complaints.map(({ message }) => ({ where, message })),
  );
}

function parsePolicies(
  checker: CedarChecker,
  sources: readonly SourceText[],
  problems: Problem[],
): PolicyEntry[] {
  const entries = new Map<string, PolicyEntry>();
  for (const statement of sources.flatMap(splitStatements)) {
    const answer = checker.policy(statement.text);
    if ('complaints' in answer) {
      problems.push(
        ...answer.complaints.map((complaint) => problemAt(statement, complaint.offset, complaint.message)),
      );
      continue;
    }
    const limit = policyLimitProblem(answer.json);
    if (limit !== undefined) problems.push(problemAt(statement, 0, limit));
    const id = answer.json.annotations?.['id'];
    const other = entries.get(id ?? '');
    if (!id)
      problems.push(
        problemAt(statement, 0, 'the policy has no @id("…"); records and answers name policies by it'),
      );
    else if (!/^[A-Za-z0-9_.:/-]{1,128}$/.test(id))
      problems.push(
        problemAt(statement, 0, `@id(${JSON.stringify(id)}) may only hold letters, digits and _ . : / -`),
      );
    else if (other)
      problems.push(problemAt(statement, 0, `@id("${id}") is taken already by ${other.statement.file}`));
    else
      entries.set(id, {
        id,
        statement,
        json: answer.json,
        notes: policyNotes(answer.json, statement, problems),
      });
  }
  return [...entries.values()].sort((a, b) => (a.id < b.id ? -1 : 1));
}

function validatePolicies(
  checker: CedarChecker,
  compiled: CompiledTexts,
  entries: readonly PolicyEntry[],
  problems: Problem[],
): Problem[] {
  const statements = new Map(entries.map((entry) => [entry.id, entry.statement]));
  const { errors, warnings } = checker.validate(compiled);
  const place = ({ policyId, offset, message }: (typeof errors)[number]): Problem => {
    const statement = statements.get(policyId);
    return statement ? problemAt(statement, offset, message) : { where: 'policies', message };
  };
  problems.push(...errors.map(place));
  return warnings.map(place);
}

function assemble(
  compiled: CompiledTexts,
  entries: readonly PolicyEntry[],
  shapes: SchemaShapes,
  entities: ReadonlyMap<string, CedarEntity>,
  now: number,
): PolicySnapshot {
  const collector = createReadsCollector();
  for (const entry of entries) collectReads(entry.json, collector);
  const contextKeys = [...shapes.contexts.values()].flatMap((shape) => [...shape.fields.keys()]);
  const notes = new Map(entries.map((entry) => [entry.id, entry.notes]));
  const engine = CedarEngine.load(compiled);
  return {
    digest: digestOf(compiled, entities),
    loadedAt: now,
    policyIds: entries.map((entry) => entry.id),
    reads: finishReads(collector, { contextKeys, entityTypes: shapes.entities.keys() }, entities.values()),
    literalEntities: [...collector.literals].filter((uid) => entities.has(uid)),
    notes(id) {
      const found = notes.get(id);
      if (!found) throw new TypeError(`no policy '${id}' in the snapshot`);
      return found;
    },
    contextShape: (action) => shapes.contexts.get(uidText(action)),
    entityShape: (type) => shapes.entities.get(type),
    staticEntity: (uid) => entities.get(uid),
    evaluate: (request) => engine.evaluate(request),
  };
}

function digestOf(compiled: CompiledTexts, entities: ReadonlyMap<string, CedarEntity>): string {
  const content = JSON.stringify([
    compiled.schema,
    Object.entries(compiled.policies),
    [...entities].sort(([a], [b]) => (a < b ? -1 : 1)),
  ]);
  return `sha256:${createHash('sha256').update(content).digest('hex')}`;
}
