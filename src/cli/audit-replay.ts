import { writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { httpStatusOf } from '../api/status.ts';
import { leaveNote } from '../audit/log/inbox.ts';
import { type ReplayReport, replayLog } from '../audit/replay/replay-log.ts';
import type { ReplayFilter } from '../audit/replay/replay-segment.ts';
import { replayHtml } from '../audit/replay/report-html.ts';
import { replayJson } from '../audit/replay/report-json.ts';
import { replayText } from '../audit/replay/report-text.ts';
import { recordsIn } from '../audit/replay/tally.ts';
import { engineName } from '../pdp/cedar-module.ts';
import { InputError, messageOf } from '../pdp/errors.ts';
import {
  CONFIG_OPTION,
  type Command,
  EXIT,
  type Terminal,
  auditDirFor,
  parseCommandArgs,
} from './command.ts';
import { overLogs } from './over-logs.ts';
import { durationSeconds } from './duration.ts';
import { progressLine } from './progress-line.ts';

interface Options {
  readonly dir: string;
  readonly filter: ReplayFilter;
  readonly jobs: number;
  readonly memo: boolean;
  readonly json: boolean;
  readonly html: string | undefined;
}

const OPTIONS = {
  ...CONFIG_OPTION,
  from: { type: 'string' },
  to: { type: 'string' },
  decision: { type: 'string' },
  sample: { type: 'string' },
  jobs: { type: 'string' },
  'no-memo': { type: 'boolean' },
  json: { type: 'boolean' },
  html: { type: 'string' },
} as const;

/** `pdp audit replay [DIR]`: whether recorded decisions come out the same when they are made again from the log alone. */
export const auditReplay: Command = overLogs(
  {
    name: 'audit replay',
    usage:
      '[DIR] [--from TIME] [--to TIME] [--decision ID] [--sample SHARE] [--jobs N] [--no-memo] [--json] [--html FILE] [--config FILE]',
    summary:
      'make recorded decisions again from the log alone and compare; DIR defaults to the configured log',
    async run(args, terminal) {
      const options = optionsOf(args, terminal);
      const { dir, filter, jobs, memo } = options;
      const engine = engineName();
      const progress = progressLine(terminal, 'decisions');
      const onProgress = (records: number): void => progress.show(records);
      const report = await replayLog(dir, {
        httpStatus: httpStatusOf,
        engine,
        filter,
        jobs,
        memo,
        onProgress,
      });
      progress.end();
      if (filter.decision !== undefined && recordsIn(report.tally) === 0)
        throw usage('--decision', `the log holds no decision '${filter.decision}'`);
      if (options.html !== undefined) writeReport(options.html, report, { dir, engine, filter });
      recordRun(dir, engine, { report, filter }, terminal);
      terminal.out(options.json ? replayJson(report) : replayText(dir, report));
      return exitCode(report, terminal);
    },
  },
  { options: OPTIONS, searches: ['decision'], judges: true },
);

function optionsOf(args: readonly string[], terminal: Terminal): Options {
  const { values, positionals } = parseCommandArgs(args, OPTIONS);
  if (positionals.length > 1) throw usage('DIR', `expected one folder, got ${positionals.join(' ')}`);
  const { from, to, decision, sample } = values;
  return {
    dir: positionals[0] ?? auditDirFor(values.config, terminal),
    filter: {
      ...(from !== undefined && { from: timeOf('--from', from) }),
      ...(to !== undefined && { to: timeOf('--to', to) }),
      ...(decision !== undefined && { decision }),
      ...(sample !== undefined && { sample: shareOf(sample) }),
    },
    jobs: values.jobs === undefined ? availableParallelism() : jobsOf(values.jobs),
    memo: values['no-memo'] !== true,
    json: values.json === true,
    html: values.html,
  };
}

function usage(where: string, message: string): InputError {
  return new InputError('bad usage:', [{ where, message }]);
}

/** A time as records write it, of an RFC 3339 time, a day, or a time ago such as `2d`. */
function timeOf(option: string, text: string): string {
  if (/^\d{4}-\d\d-\d\d(?:T.*)?$/.test(text)) {
    const time = Date.parse(text);
    if (Number.isNaN(time)) throw usage(option, `'${text}' is no time`);
    return new Date(time).toISOString();
  }
  return new Date(Date.now() - durationSeconds(text, option) * 1000).toISOString();
}

function shareOf(text: string): number {
  const share = Number(text);
  if (!(share > 0 && share <= 1)) throw usage('--sample', `'${text}' is no share: above 0, at most 1`);
  return share;
}

function jobsOf(text: string): number {
  if (!/^[1-9]\d?$/.test(text)) throw usage('--jobs', `'${text}' is no number of threads from 1 to 99`);
  return Number(text);
}

interface Run {
  readonly dir: string;
  readonly engine: string;
  readonly filter: ReplayFilter;
}

function writeReport(file: string, report: ReplayReport, { dir, engine, filter }: Run): void {
  const html = replayHtml(report, { dir, engine, scope: scopeText(filter), now: Date.now() });
  try {
    writeFileSync(file, html);
  } catch (error) {
    throw new InputError('the report cannot be written:', [{ where: file, message: messageOf(error) }]);
  }
}

function scopeText({ from, to, decision, sample }: ReplayFilter): string {
  if (decision !== undefined) return `the decision ${decision}`;
  const share = sample === undefined ? 'all' : `a sample of ${sample * 100} %, drawn by chance`;
  return [share, from && `from ${from}`, to && `before ${to}`].filter(Boolean).join(', ');
}

/** That the log was replayed is itself a record, made by the process that writes the log. */
function recordRun(
  dir: string,
  engine: string,
  { report: { tally }, filter }: { readonly report: ReplayReport; readonly filter: ReplayFilter },
  terminal: Terminal,
): void {
  try {
    leaveNote(dir, 'replay_run', {
      by: 'cli',
      records: recordsIn(tally),
      match: tally.match,
      mismatch: tally.mismatch,
      not_replayable: tally.notReplayable,
      by_stage_result: tally.by.stage_result,
      from: tally.first,
      to: tally.last,
      sample: filter.sample === undefined ? undefined : String(filter.sample),
      engine,
    });
  } catch (error) {
    terminal.err(`pdp: the run is not recorded, for the folder cannot be written (${messageOf(error)})\n`);
  }
}

function exitCode({ tally }: ReplayReport, terminal: Terminal): number {
  if (tally.mismatch > 0) return EXIT.no;
  if (tally.notReplayable === 0) return EXIT.ok;
  terminal.err('pdp: no mismatch, but some records cannot be replayed (exit code 3)\n');
  return EXIT.unchecked;
}
