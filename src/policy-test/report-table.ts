import { basename } from 'node:path';
import type { CaseResult, Coverage, Outcome, Report, SetReport } from './report.ts';

/** How to write the table. */
export interface TableOptions {
  readonly colours: boolean;
  /** Sets whose coverage must be at least this are told apart; absent: no threshold. */
  readonly minCoverage?: number;
}

type Paint = (text: string) => string;

interface Palette {
  readonly good: Paint;
  readonly bad: Paint;
  readonly dim: Paint;
  readonly bold: Paint;
}

/** The report for people: a row for each test, what a failed one expected and got, coverage where it was asked for, and totals. */
export function tableReport(report: Report, options: TableOptions): string {
  const palette = paletteOf(options.colours);
  const sets = report.sets.map((set) => setTable(set, options, palette));
  return `${sets.join('\n')}\n${totals(report, palette)}\n`;
}

function paletteOf(colours: boolean): Palette {
  const paint =
    (code: number): Paint =>
    (text) =>
      colours ? `\u001B[${code}m${text}\u001B[0m` : text;
  return { good: paint(32), bad: paint(31), dim: paint(2), bold: paint(1) };
}

function setTable(set: SetReport, options: TableOptions, palette: Palette): string {
  const count = set.cases.length === 1 ? '1 test' : `${set.cases.length} tests`;
  const head = `${palette.bold(set.name)}  ${palette.dim(`${count}, snapshot ${set.digest.slice(0, 19)}`)}`;
  const widths = columnWidths(set.cases);
  return [
    head,
    ...set.warnings.map((warning) => `  ${palette.bad('warning:')} ${warning}`),
    ...(set.cases.length === 0 ? [`  ${palette.dim('no tests')}`] : []),
    ...set.cases.flatMap((one) => caseRows(one, widths, palette)),
    ...(set.coverage ? coverageRows(set.coverage, options.minCoverage, palette) : []),
    '',
  ].join('\n');
}

const MAX_NAME = 72;

function columnWidths(cases: readonly CaseResult[]): readonly [name: number, answer: number] {
  const longest = (texts: readonly string[]) => Math.max(0, ...texts.map((text) => text.length));
  const names = longest(cases.map((one) => one.name));
  return [Math.min(MAX_NAME, names), longest(cases.map((one) => answerText(one.outcome)))];
}

function answerText({ decision, reason }: Outcome): string {
  return [decision.padEnd(5), reason].filter((word) => word !== undefined).join(' ');
}

function idsText(ids: readonly string[]): string {
  return ids.length === 0 ? 'none' : ids.join(', ');
}

function caseRows(one: CaseResult, [name, answer]: readonly [number, number], palette: Palette): string[] {
  const mark = one.passed ? palette.good('ok  ') : palette.bad('FAIL');
  const columns = `${one.name.padEnd(name)}  ${answerText(one.outcome).padEnd(answer)}`;
  const row = `  ${mark}  ${columns}  ${palette.dim(idsText(one.outcome.policies))}`;
  return one.passed ? [row.trimEnd()] : [row.trimEnd(), ...failureRows(one, palette)];
}

function failureRows({ mismatches, outcome, explanation, file }: CaseResult, palette: Palette): string[] {
  const width = Math.max(...mismatches.map((mismatch) => mismatch.field.length));
  const indent = ' '.repeat(8);
  const compared = mismatches.flatMap(({ field, expected, actual }) => [
    `${indent}${field.padEnd(width)}  expected  ${palette.good(expected)}`,
    `${indent}${' '.repeat(width)}  actual    ${palette.bad(actual)}`,
  ]);
  const facts: readonly [string, string | undefined][] = [
    ['policies', idsText(outcome.policies)],
    ['message', outcome.message],
    ['detail', outcome.detail],
    ['file', file],
  ];
  const told = new Set(mismatches.map((mismatch) => mismatch.field));
  const rest = facts.filter(([field, value]) => value !== undefined && !told.has(field));
  return [
    ...compared,
    ...rest.map(([field, value]) => `${indent}${palette.dim(`${field.padEnd(width)}  ${value}`)}`),
    ...explanationLines(explanation).map((line) => `${indent}${palette.dim(line)}`),
  ];
}

/** Without the policies' own text, which the author has at hand. */
function explanationLines(explanation: string | undefined): string[] {
  return (explanation ?? '').split('\n').filter((line) => line !== '' && !/^ +\|/.test(line));
}

function coverageRows(coverage: Coverage, minimum: number | undefined, palette: Palette): string[] {
  const { policyPercent, conditionPercent, policies, undetermined, conditions } = coverage;
  const low = (percent: number) => minimum !== undefined && percent < minimum;
  const share = (percent: number, words: string) =>
    (low(percent) ? palette.bad : palette.good)(`${percent} %`) + ` ${words}`;
  const outcomes = conditions.flatMap(({ sawTrue, sawFalse }) => [sawTrue, sawFalse]);
  const seen = outcomes.filter(Boolean).length;
  return [
    `  coverage  ${share(policyPercent, `of policies (${policies - undetermined.length} of ${policies})`)}, ` +
      share(conditionPercent, `of outcomes of conditions (${seen} of ${outcomes.length})`),
    ...undetermined.map((id) => `    ${id}  determined no decision`),
    ...conditions.flatMap(({ policy, kind, text, sawTrue, sawFalse, file, line }) => {
      const never = neverText(sawTrue, sawFalse);
      const place = palette.dim(`(${basename(file)}:${line})`);
      return never === '' ? [] : [`    ${policy}  ${kind} { ${text} }  ${never} ${place}`];
    }),
  ];
}

/** What a condition was never seen to be; '' where it was seen both ways. */
export function neverText(sawTrue: boolean, sawFalse: boolean): string {
  if (sawTrue && sawFalse) return '';
  if (!sawTrue && !sawFalse) return 'never evaluated';
  return sawTrue ? 'never false' : 'never true';
}

function totals({ sets, passed, failed, durationMs }: Report, palette: Palette): string {
  const count = sets.length === 1 ? '1 set' : `${sets.length} sets`;
  const verdict = failed === 0 ? palette.good('0 failed') : palette.bad(`${failed} failed`);
  return `${count}, ${passed + failed} tests: ${passed} passed, ${verdict} in ${(durationMs / 1000).toFixed(2)} s`;
}
