import { InputError, type Problem, problemText } from '../pdp/errors.ts';
import { coverageOf } from './coverage.ts';
import { TraceExplainer } from '../pdp/explain/explain-trace.ts';
import { type PolicySet, findPolicySets, loadPolicySets, withShownPath } from './policy-set.ts';
import type { CaseResult, Report, SetReport } from './report.ts';
import { type PolicyTestParts, runCase } from './run-case.ts';

/** What to run. */
export interface RunOptions {
  /** Policy sets, or folders of them. */
  readonly paths: readonly string[];
  /** Only cases whose `set/file: name` holds this text, whatever its case. */
  readonly filter?: string;
  readonly coverage: boolean;
}

/**
 * Runs the decision tests of policy sets, one snapshot for each set. Throws `InputError` where a set or a test cannot be used; a
 * test that fails is a result.
 */
export async function runTests(options: RunOptions, parts: PolicyTestParts): Promise<Report> {
  const started = performance.now();
  const sets: SetReport[] = [];
  const problems: Problem[] = [];
  for (const set of loadPolicySets(findPolicySets(options.paths), Date.now()))
    sets.push(await runSet(set, options, parts, problems));
  if (problems.length > 0) throw new InputError('the tests cannot be run:', problems);
  const cases = sets.flatMap((set) => set.cases);
  const passed = cases.filter((one) => one.passed).length;
  return { sets, passed, failed: cases.length - passed, durationMs: performance.now() - started };
}

async function runSet(
  set: PolicySet,
  options: RunOptions,
  parts: PolicyTestParts,
  problems: Problem[],
): Promise<SetReport> {
  const wanted = options.filter?.toLowerCase() ?? '';
  const chosen = set.cases.filter((test) => `${test.file}: ${test.name}`.toLowerCase().includes(wanted));
  const cases: CaseResult[] = [];
  const explainer = new TraceExplainer(set.snapshot);
  for (const test of chosen) {
    try {
      cases.push(await runCase(set, test, parts, explainer));
    } catch (error) {
      if (!(error instanceof InputError)) throw error;
      problems.push(...error.problems.map(withShownPath));
    }
  }
  return {
    name: set.name,
    folder: set.folder,
    digest: set.snapshot.digest,
    cases,
    warnings: set.warnings.map(problemText),
    ...(options.coverage && { coverage: coverageOf(set, cases) }),
  };
}

/** The sets of a report whose coverage, of policies or of conditions, is below `percent`. */
export function setsBelow(report: Report, percent: number): SetReport[] {
  return report.sets.filter(
    ({ coverage }) => coverage && Math.min(coverage.policyPercent, coverage.conditionPercent) < percent,
  );
}
