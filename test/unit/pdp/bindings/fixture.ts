import { readFileSync } from 'node:fs';
import type { BindingFacts, BindingMatch } from '../../../../src/pdp/bindings/binding.ts';
import { BindingTable } from '../../../../src/pdp/bindings/binding-table.ts';
import { readBindings } from '../../../../src/pdp/bindings/read-bindings.ts';
import { CedarChecker } from '../../../../src/pdp/cedar.ts';
import { type Refusal, isRefusal } from '../../../../src/pdp/decision.ts';
import { InputError, type Problem, problemText } from '../../../../src/pdp/errors.ts';
import { type SchemaShapes, schemaShapes } from '../../../../src/pdp/schema-shape.ts';

/** The schema shared by the sample sets. */
export const SHARED_SCHEMA = readFileSync(
  new URL('../../../../policies/schema.cedarschema', import.meta.url),
  'utf8',
);

const CLINIC = `
namespace Dental {
  type Name = String;
  entity Hospital, Region;
  entity Ward in [Hospital];
  entity Patient in [Hospital, Ward] = {
    section?: String,
    name?: Name,
    bed?: Long,
    urgent?: Bool,
    tags?: Set<String>,
    numbers?: Set<Long>,
    doctor?: ZeroTrust::User,
    since?: datetime,
  };
  entity File;
  action maintain;
  action "view", "edit" in [maintain] appliesTo {
    principal: [ZeroTrust::User, ZeroTrust::Workload],
    resource: [Patient],
    context: ZeroTrust::Facts,
  };
  action "read file" appliesTo { principal: [ZeroTrust::User], resource: [File], context: ZeroTrust::Facts };
}
`;

/** One engine for all texts of a test file. */
export const checker = new CedarChecker();

/** Shapes of schema texts taken together; throws what Cedar says against them. */
export function shapesOf(...schemas: readonly string[]): SchemaShapes {
  const answer = checker.schema(schemas.join('\n'));
  if (!('json' in answer)) throw new Error(answer.complaints.map(({ message }) => message).join('\n'));
  return schemaShapes(answer.json);
}

/** The sample schema with a clinic's own. */
export const shapes = shapesOf(SHARED_SCHEMA, CLINIC);

/** Reads one file and returns what is wrong with it, as `file:line:column: message`. */
export function problemsOf(text: string): string[] {
  const problems: Problem[] = [];
  readBindings([{ file: 'bindings.yaml', text }], shapes, problems);
  return problems.map(problemText);
}

/** A table from YAML text, or from binding objects; throws where anything is wrong. */
export function tableOf(content: string | readonly object[], schema: SchemaShapes = shapes): BindingTable {
  const problems: Problem[] = [];
  const text = typeof content === 'string' ? content : JSON.stringify({ bindings: content });
  const table = new BindingTable(readBindings([{ file: 'bindings.yaml', text }], schema, problems));
  if (problems.length > 0) throw new InputError('bindings:', problems);
  return table;
}

/** A binding that views the patient `{id}` or the constant 'p'. */
export function binding(id: string, match: object, resourceId = 'p'): object {
  return {
    id,
    match,
    action: 'Dental::Action::"view"',
    resource: { type: 'Dental::Patient', id: resourceId },
  };
}

/** A request by its path, with the facts that matter. */
export interface SampleRequest {
  readonly path: string;
  readonly method?: string;
  readonly host?: string;
  readonly service?: string;
  readonly headers?: Readonly<Record<string, readonly string[]>>;
  readonly extensions?: Readonly<Record<string, string>>;
}

/** Facts of a sample request. */
export function factsOf(sample: SampleRequest): BindingFacts {
  return {
    method: sample.method ?? 'GET',
    path: sample.path,
    host: sample.host ?? 'clinic.example.com',
    service: sample.service,
    header: (name) => sample.headers?.[name] ?? [],
    extension: (name) => sample.extensions?.[name],
  };
}

/** Id of the binding that a request meets, the reason where it is refused, `undefined` where there is none. */
export function idFor(table: BindingTable, sample: SampleRequest): string | undefined {
  const match = table.match(factsOf(sample));
  return match && (isRefusal(match) ? match.refusal : match.id);
}

/** The match of a request; throws where there is none. */
export function matchFor(table: BindingTable, sample: SampleRequest): BindingMatch {
  const match: BindingMatch | Refusal | undefined = table.match(factsOf(sample));
  if (!match || isRefusal(match))
    throw new Error(`no match: ${match?.refusal ?? 'none'} ${match?.detail ?? ''}`);
  return match;
}
