import type { CaseResult, Coverage, Report } from './report.ts';

/** The report for programs, as JSON text: names in snake_case, as in records. */
export function jsonReport(report: Report): string {
  const { passed, failed, durationMs } = report;
  const sets = report.sets.map((set) => ({
    name: set.name,
    folder: set.folder,
    snapshot: set.digest,
    warnings: set.warnings,
    tests: set.cases.map(caseJson),
    ...(set.coverage && { coverage: coverageJson(set.coverage) }),
  }));
  return `${JSON.stringify({ passed, failed, duration_ms: rounded(durationMs), sets }, undefined, 2)}\n`;
}

function caseJson({ name, file, form, passed, mismatches, outcome, explanation, durationMs }: CaseResult) {
  const { httpStatus, ...rest } = outcome;
  return {
    name,
    file,
    form,
    passed,
    actual: { ...rest, ...(httpStatus !== undefined && { http_status: httpStatus }) },
    ...(mismatches.length > 0 && { mismatches }),
    ...(explanation !== undefined && { explanation }),
    duration_ms: rounded(durationMs),
  };
}

function coverageJson({ policies, undetermined, conditions, policyPercent, conditionPercent }: Coverage) {
  return {
    policies,
    policy_percent: policyPercent,
    condition_percent: conditionPercent,
    undetermined,
    conditions: conditions.map(({ sawTrue, sawFalse, ...place }) => ({
      ...place,
      saw_true: sawTrue,
      saw_false: sawFalse,
    })),
  };
}

function rounded(ms: number): number {
  return Math.round(ms * 1000) / 1000;
}
