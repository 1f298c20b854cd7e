import { escapeMarkup } from '../pdp/markup.ts';
import type { CaseResult, Report, SetReport } from './report.ts';

/** The report as JUnit XML: a suite for each policy set, times in seconds. */
export function junitReport(report: Report): string {
  const { passed, failed, durationMs } = report;
  return [
    '<?xml version="1.0" encoding="UTF-8"?>',
    `<testsuites name="pdp policy test" tests="${passed + failed}" failures="${failed}" time="${seconds(durationMs)}">`,
    ...report.sets.map(suite),
    '</testsuites>',
    '',
  ].join('\n');
}

function suite({ name, cases }: SetReport): string {
  const failures = cases.filter((one) => !one.passed).length;
  const time = seconds(cases.reduce((sum, one) => sum + one.durationMs, 0));
  const head = `  <testsuite name="${escapeMarkup(name)}" tests="${cases.length}" failures="${failures}" time="${time}">`;
  return [head, ...cases.map((one) => testCase(one, name)), '  </testsuite>'].join('\n');
}

function testCase(one: CaseResult, set: string): string {
  const { name, file, durationMs, mismatches, outcome, explanation } = one;
  const attributes = `classname="${escapeMarkup(set)}" name="${escapeMarkup(name)}" file="${escapeMarkup(file)}" time="${seconds(durationMs)}"`;
  if (one.passed) return `    <testcase ${attributes}/>`;
  const lines = mismatches.map(
    ({ field, expected, actual }) => `${field}: expected ${expected}, actual ${actual}`,
  );
  const detail = outcome.detail === undefined ? [] : [`detail: ${outcome.detail}`];
  const text = escapeMarkup([...lines, ...detail, explanation ?? ''].join('\n').trim());
  return `    <testcase ${attributes}>\n      <failure message="${escapeMarkup(lines[0] ?? '')}">${text}</failure>\n    </testcase>`;
}

function seconds(ms: number): string {
  return (ms / 1000).toFixed(6);
}
