import { readFileSync, readdirSync, statSync } from 'node:fs';
import { basename, join, relative, resolve } from 'node:path';
import { compileSnapshot } from '../pdp/compile-snapshot.ts';
import { InputError, type Problem } from '../pdp/errors.ts';
import type { CedarEntity } from '../pdp/evaluation.ts';
import type { PolicySnapshot } from '../pdp/policy-snapshot.ts';
import { type PolicyTexts, readPolicyTexts } from '../pdp/policy-source.ts';
import { readTests } from './read-tests.ts';
import { suggestion } from '../pdp/suggest.ts';
import type { TestCase } from './test-case.ts';

/** A policy set with its decision tests: one snapshot, compiled once for all of them. */
export interface PolicySet {
  readonly name: string;
  readonly folder: string;
  readonly snapshot: PolicySnapshot;
  readonly texts: PolicyTexts;
  /** Of `entities.json`; request-level cases get them from the snapshot. */
  readonly entities: readonly CedarEntity[];
  readonly cases: readonly TestCase[];
  readonly warnings: readonly Problem[];
}

/**
 * The policy set folders that arguments mean: a folder with `*.cedar` files, or all such folders in a folder. Throws `InputError`
 * where there is none.
 */
export function findPolicySets(paths: readonly string[]): string[] {
  const problems: Problem[] = [];
  const folders = paths.flatMap((path) => {
    const inside = isPolicySet(path) ? [path] : subfolders(path).filter(isPolicySet);
    if (inside.length === 0)
      problems.push({
        where: path,
        message: 'is neither a policy set (a folder with *.cedar files) nor a folder of sets',
      });
    return inside;
  });
  if (problems.length > 0) throw new InputError('no policies there:', problems);
  return [...new Map(folders.map((folder) => [resolve(folder), folder])).values()];
}

function isPolicySet(folder: string): boolean {
  return list(folder).some((name) => name.endsWith('.cedar'));
}

function subfolders(folder: string): string[] {
  return list(folder)
    .map((name) => join(folder, name))
    .filter((path) => statSync(path).isDirectory())
    .sort();
}

function list(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

/** Compiles the sets and reads their tests. Throws `InputError` with every problem of every set. */
export function loadPolicySets(folders: readonly string[], now: number): PolicySet[] {
  const problems: Problem[] = [];
  const sets = folders.flatMap((folder) => {
    const cases = readTests(folder, problems);
    try {
      const texts = readPolicyTexts([folder]);
      const { snapshot, warnings } = compileSnapshot(texts, now);
      checkPolicyIds(cases, snapshot.policyIds, problems);
      const entities = texts.entities.flatMap((source) => JSON.parse(source.text) as CedarEntity[]);
      return [{ name: basename(resolve(folder)), folder, snapshot, texts, entities, cases, warnings }];
    } catch (error) {
      if (!(error instanceof InputError)) throw error;
      problems.push(...error.problems);
      return [];
    }
  });
  if (problems.length > 0) throw new InputError('the tests cannot be run:', problems.map(withShownPath));
  return sets;
}

/** A problem with its path as short as it gets without climbing. */
export function withShownPath(problem: Problem): Problem {
  const below = relative('', problem.where);
  return below === '' || below.startsWith('..') ? problem : { ...problem, where: below };
}

/** A misspelt id would make a test fail for the wrong reason, or, in a deny by no policy, never be noticed. */
function checkPolicyIds(cases: readonly TestCase[], ids: readonly string[], problems: Problem[]): void {
  const known = new Set(ids);
  for (const test of cases) {
    const expected = test.form === 'cedar' ? test.expect.reason : (test.expect.policies ?? []);
    for (const id of expected.filter((one) => !known.has(one)))
      problems.push(test.problem(`the set has no policy '${id}'${suggestion(id, ids)}`));
  }
}

/** Text of a file of the set, or `undefined` where it cannot be read. */
export function readIfThere(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return undefined;
  }
}
