import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Problem } from '../pdp/errors.ts';
import { FileSchema, type Given, RequestCaseSchema } from './case-schema.ts';
import { readCedarCase } from './cedar-case.ts';
import { JsonSource } from './json-source.ts';
import { type Part, readPart } from './schema-problems.ts';
import type { RequestCase, TestCase } from './test-case.ts';

/**
 * Reads the decision tests of a policy set, `tests/*.json`: each file is an array of cases, or `{ "defaults", "cases" }` where the
 * defaults are what every case is given unless it says otherwise. Cases are in our request-level form, or in that of
 * `cedar run-tests` (told by their `request`). Every problem is added, with its position.
 */
export function readTests(folder: string, problems: Problem[]): TestCase[] {
  return testFiles(folder).flatMap((file) => readTestFile(folder, file, problems));
}

function testFiles(folder: string): string[] {
  const tests = join(folder, 'tests');
  try {
    return readdirSync(tests)
      .filter((file) => file.endsWith('.json'))
      .sort()
      .map((file) => join(tests, file));
  } catch {
    return [];
  }
}

function readTestFile(folder: string, file: string, problems: Problem[]): TestCase[] {
  const source = new JsonSource(file, readFileSync(file, 'utf8'));
  const parsed = source.parse();
  if ('problem' in parsed) {
    problems.push(parsed.problem);
    return [];
  }
  const bare = Array.isArray(parsed.value);
  const head = readPart(
    FileSchema,
    bare ? { cases: parsed.value as unknown[] } : parsed.value,
    { source, label: '', path: [] },
    problems,
  );
  const names = new Set<string>();
  return (head?.cases ?? []).flatMap((value, index) => {
    const path = bare ? [index] : ['cases', index];
    const name = (value as { name?: unknown } | null)?.name;
    const part = { source, label: typeof name === 'string' ? `'${name}'` : `case ${index + 1}`, path };
    const read = readCase(value, head?.defaults ?? {}, folder, part, problems);
    if (!read) return [];
    if (names.has(read.name)) problems.push(read.problem('another case of the file has this name'));
    names.add(read.name);
    return [read];
  });
}

function readCase(
  value: unknown,
  defaults: Given,
  folder: string,
  part: Part,
  problems: Problem[],
): TestCase | undefined {
  const isCedar = typeof value === 'object' && value !== null && 'request' in value;
  return isCedar
    ? readCedarCase(value, folder, part, problems)
    : readRequestCase(value, defaults, part, problems);
}

function readRequestCase(
  value: unknown,
  defaults: Given,
  part: Part,
  problems: Problem[],
): RequestCase | undefined {
  const read = readPart(RequestCaseSchema, value, part, problems);
  if (!read) return undefined;
  // Whole values, never parts of them: what a case says of the user is all that is known of the user.
  const given: Given = { ...defaults, ...read.given };
  const { method, path, host } = given;
  const missing = Object.entries({ method, path, host }).filter(([, text]) => typeof text !== 'string');
  for (const [key] of missing)
    problems.push(part.source.problem([...part.path, 'given'], `${part.label}, given.${key}: is missing`));
  if (typeof method !== 'string' || typeof path !== 'string' || typeof host !== 'string') return undefined;
  return {
    form: 'request',
    name: read.name,
    file: part.source.file,
    given: { ...given, method, path, host },
    expect: read.expect,
    problem: (message) => part.source.problem(part.path, `${part.label}: ${message}`),
  };
}
