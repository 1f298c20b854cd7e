import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { STATUS, httpStatusOf } from '../api/status.ts';
import { InputError, messageOf } from '../pdp/errors.ts';
import { createWorkloadAuthenticator } from '../pip/workload/workload.ts';
import type { Report } from '../policy-test/report.ts';
import { htmlReport } from '../policy-test/report-html.ts';
import { jsonReport } from '../policy-test/report-json.ts';
import { junitReport } from '../policy-test/report-junit.ts';
import { tableReport } from '../policy-test/report-table.ts';
import type { PolicyTestParts } from '../policy-test/run-case.ts';
import { runTests, setsBelow } from '../policy-test/run-tests.ts';
import { watchPolicies } from '../policy-test/watch.ts';
import { type Command, EXIT, type Terminal, parseCommandArgs } from './command.ts';

interface Options {
  readonly paths: readonly string[];
  readonly json: boolean;
  readonly junit?: string;
  readonly html?: string;
  readonly filter?: string;
  readonly coverage: boolean;
  readonly minCoverage?: number;
  readonly watch: boolean;
}

/** `pdp policy test DIR…`: runs the decision tests of policy sets. */
export const policyTest: Command = {
  name: 'policy test',
  usage:
    'DIR… [--filter TEXT] [--coverage] [--min-coverage N] [--json] [--junit FILE] [--html FILE] [--watch]',
  summary: 'run the decision tests of policy sets, or of every set in a folder',
  async run(args, terminal) {
    const options = optionsOf(args);
    if (!options.watch) return await runOnce(options, terminal);
    const stop = new AbortController();
    void once(process, 'SIGINT').then(() => stop.abort());
    return await runAndWatch(options, terminal, stop.signal);
  },
};

function optionsOf(args: readonly string[]): Options {
  const { values, positionals } = parseCommandArgs(args, {
    filter: { type: 'string' },
    coverage: { type: 'boolean' },
    'min-coverage': { type: 'string' },
    json: { type: 'boolean' },
    junit: { type: 'string' },
    html: { type: 'string' },
    watch: { type: 'boolean' },
  });
  if (positionals.length === 0) throw usage('expected at least one policy set folder, or a folder of sets');
  const minimum = values['min-coverage'];
  if (minimum !== undefined && !/^(?:100|\d{1,2})$/.test(minimum))
    throw usage(`--min-coverage takes a whole number from 0 to 100, not '${minimum}'`);
  const { junit, html, filter } = values;
  return {
    paths: positionals,
    json: values.json ?? false,
    coverage: values.coverage === true || minimum !== undefined || html !== undefined,
    watch: values.watch ?? false,
    ...(junit !== undefined && { junit }),
    ...(html !== undefined && { html }),
    ...(filter !== undefined && { filter }),
    ...(minimum !== undefined && { minCoverage: Number(minimum) }),
  };
}

function usage(message: string): InputError {
  return new InputError('bad usage:', [{ where: 'pdp policy test', message }]);
}

const PARTS: Omit<PolicyTestParts, 'workload'> = {
  httpStatus: httpStatusOf,
  message: (reason) => STATUS[reason].message,
};

async function runOnce(options: Options, terminal: Terminal): Promise<number> {
  const report = await runTests(options, { ...PARTS, workload: createWorkloadAuthenticator() });
  if (options.filter !== undefined && report.passed + report.failed === 0)
    throw usage(`no test matches '${options.filter}'`);
  if (options.junit !== undefined) writeReport(options.junit, junitReport(report));
  if (options.html !== undefined) writeReport(options.html, htmlReport(report));
  const { minCoverage } = options;
  const table = { colours: terminal.interactive, ...(minCoverage !== undefined && { minCoverage }) };
  terminal.out(options.json ? jsonReport(report) : tableReport(report, table));
  return verdictOf(report, options, terminal);
}

function verdictOf(report: Report, { minCoverage }: Options, terminal: Terminal): number {
  const below = minCoverage === undefined ? [] : setsBelow(report, minCoverage);
  for (const { name, coverage } of below) {
    const shares = `${coverage?.policyPercent} % of policies, ${coverage?.conditionPercent} % of conditions`;
    terminal.err(`${name}: coverage is below ${minCoverage} %: ${shares}\n`);
  }
  return report.failed === 0 && below.length === 0 ? EXIT.ok : EXIT.no;
}

function writeReport(file: string, text: string): void {
  try {
    writeFileSync(file, text);
  } catch (error) {
    throw new InputError('the report cannot be written:', [{ where: file, message: messageOf(error) }]);
  }
}

const CLEAR = '\u001B[2J\u001B[3J\u001B[H';

/** Runs now and after each change, until the signal aborts. A set that is broken for the moment is told, not fatal. */
async function runAndWatch(options: Options, terminal: Terminal, signal: AbortSignal): Promise<number> {
  let code: number = EXIT.ok;
  const run = async (): Promise<void> => {
    if (terminal.interactive) terminal.out(CLEAR);
    try {
      code = await runOnce(options, terminal);
    } catch (error) {
      if (!(error instanceof InputError)) throw error;
      terminal.err(`pdp: ${error.message}\n`);
      code = EXIT.usage;
    }
    terminal.err('watching for changes; Ctrl-C ends\n');
  };
  await run();
  await watchPolicies(options.paths, run, signal);
  return code;
}
