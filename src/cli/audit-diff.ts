import { writeFileSync } from 'node:fs';
import { relative } from 'node:path';
import { httpStatusOf } from '../api/status.ts';
import { CurrentFacts } from '../audit/diff/current-facts.ts';
import { type DiffProgress, type DiffReport, diffLog } from '../audit/diff/diff-log.ts';
import { diffHtml } from '../audit/diff/report-html.ts';
import { type DiffAbout, diffJson } from '../audit/diff/report-json.ts';
import { diffText } from '../audit/diff/report-text.ts';
import { GROUPED, type GroupedBucket, comparedIn } from '../audit/diff/tally.ts';
import type { DiffFilter } from '../audit/diff/walk.ts';
import { SYSTEM_CLOCK } from '../compose/core.ts';
import { openSources } from '../compose/sources.ts';
import { engineName } from '../pdp/cedar-module.ts';
import { compileSnapshot } from '../pdp/compile-snapshot.ts';
import { InputError, messageOf, problemText } from '../pdp/errors.ts';
import type { PolicySnapshot } from '../pdp/policy-snapshot.ts';
import { readPolicyTexts } from '../pdp/policy-source.ts';
import { badUsage } from './ask-server.ts';
import { RANGE_OPTIONS, rangeOf, recordReading } from './audit-log-args.ts';
import {
  CONFIG_OPTION,
  type Command,
  EXIT,
  type Terminal,
  auditDirFor,
  configFor,
  parseCommandArgs,
} from './command.ts';
import { overLogs } from './over-logs.ts';

interface Options {
  readonly dir: string;
  readonly folders: readonly string[];
  readonly facts: 'frozen' | 'current';
  readonly filter: DiffFilter;
  readonly failOn: readonly GroupedBucket[];
  readonly json: boolean;
  readonly html: string | undefined;
  readonly config: string | undefined;
}

const OPTIONS = {
  ...CONFIG_OPTION,
  ...RANGE_OPTIONS,
  policies: { type: 'string', multiple: true },
  facts: { type: 'string' },
  sample: { type: 'string' },
  'fail-on': { type: 'string' },
  json: { type: 'boolean' },
  html: { type: 'string' },
} as const;

/** `pdp audit diff [DIR]`: what the decisions of a log would have come to under other policies. */
export const auditDiff: Command = overLogs(
  {
    name: 'audit diff',
    usage:
      '[DIR] --policies DIR [--policies DIR]... [--facts FACTS] [--from TIME] [--to TIME] [--since TIME] [--sample SHARE] [--fail-on BUCKETS] [--json] [--html FILE] [--config FILE]',
    summary: 'who would have gained and lost access under other policies; DIR defaults to the configured log',
    async run(args, terminal) {
      const options = optionsOf(args, terminal);
      const next = snapshotOf(options.folders, terminal);
      const report = await compare(options, next, terminal);
      if (terminal.interactive) terminal.err('\r\u001B[K');
      const { dir, folders, filter } = options;
      const about: DiffAbout = { dir, folders, scope: scopeText(filter), now: Date.now() };
      if (options.html !== undefined) writePage(options.html, diffHtml(report, about));
      const scope = `${about.scope}; policies ${next.digest}; facts ${options.facts}`;
      recordReading(dir, { verb: 'audit diff', filter: scope, records: comparedIn(report.tally) }, terminal);
      terminal.out(options.json ? diffJson(report, about) : diffText(report, about));
      return exitCode(report, options.failOn, terminal);
    },
  },
  { options: OPTIONS, judges: true },
);

function optionsOf(args: readonly string[], terminal: Terminal): Options {
  const { values, positionals } = parseCommandArgs(args, OPTIONS);
  if (positionals.length > 1) throw badUsage('DIR', `expected one folder, got ${positionals.join(' ')}`);
  if (values.policies === undefined)
    throw badUsage('--policies', 'is needed: the folder of the new policies');
  const { facts = 'frozen', sample } = values;
  if (facts !== 'frozen' && facts !== 'current')
    throw badUsage('--facts', `'${facts}' is neither frozen nor current`);
  const { from, to } = rangeOf(values, Date.now());
  return {
    dir: positionals[0] ?? auditDirFor(values.config, terminal),
    folders: values.policies,
    facts,
    filter: {
      ...(from !== undefined && { from: new Date(from).toISOString() }),
      ...(to !== undefined && { to: new Date(to).toISOString() }),
      ...(sample !== undefined && { sample: shareOf(sample) }),
    },
    failOn: failOnOf(values['fail-on']),
    json: values.json === true,
    html: values.html,
    config: values.config,
  };
}

function shareOf(text: string): number {
  const share = Number(text);
  if (!(share > 0 && share <= 1)) throw badUsage('--sample', `'${text}' is no share: above 0, at most 1`);
  return share;
}

function failOnOf(text: string | undefined): readonly GroupedBucket[] {
  if (text === undefined) return [];
  return text.split(',').map((word) => {
    const bucket = GROUPED.find((one) => one === word.trim());
    if (bucket === undefined) throw badUsage('--fail-on', `'${word}' is none of ${GROUPED.join(', ')}`);
    return bucket;
  });
}

function snapshotOf(folders: readonly string[], terminal: Terminal): PolicySnapshot {
  const { snapshot, warnings } = compileSnapshot(readPolicyTexts(folders), Date.now());
  for (const warning of warnings)
    terminal.err(`warning: ${problemText({ ...warning, where: relative('', warning.where) })}\n`);
  return snapshot;
}

const QUIET = { info: () => undefined, warn: () => undefined, error: () => undefined };
/** How long information points have to answer about one subject, in ms; each has its own limit too. */
const FACTS_TIMEOUT_MS = 5000;

async function compare(
  { dir, facts, filter, config }: Options,
  next: PolicySnapshot,
  terminal: Terminal,
): Promise<DiffReport> {
  const options = {
    next,
    httpStatus: httpStatusOf,
    engine: engineName(),
    filter,
    onProgress: progress(terminal),
  };
  if (facts === 'frozen') return await diffLog(dir, options);
  const { pips } = configFor(config, terminal);
  if (pips.length === 0)
    throw badUsage('--facts', 'current needs information points, and the configuration has no pips');
  await using stack = new AsyncDisposableStack();
  const { all: sources } = await openSources(pips, { clock: SYSTEM_CLOCK, log: QUIET }, stack);
  const current = new CurrentFacts({
    sources,
    snapshot: next,
    clock: SYSTEM_CLOCK,
    timeoutMs: FACTS_TIMEOUT_MS,
  });
  return await diffLog(dir, { ...options, facts: current });
}

const BAR = 20;

function progress(terminal: Terminal): (progress: DiffProgress) => void {
  const started = performance.now();
  return ({ decisions, read, segments }) => {
    if (!terminal.interactive) return;
    const rate = Math.round(decisions / Math.max(0.001, (performance.now() - started) / 1000));
    const bar = '#'.repeat(Math.floor((read / segments) * BAR)).padEnd(BAR, '.');
    terminal.err(`\r[${bar}] ${read} of ${segments} segments, ${decisions} decisions compared, ${rate}/s …`);
  };
}

function scopeText({ from, to, sample }: DiffFilter): string {
  const share = sample === undefined ? 'all' : `a sample of ${sample * 100} %, drawn by decision id`;
  return [share, from && `from ${from}`, to && `before ${to}`].filter(Boolean).join(', ');
}

function writePage(file: string, html: string): void {
  try {
    writeFileSync(file, html);
  } catch (error) {
    throw new InputError('the report cannot be written:', [{ where: file, message: messageOf(error) }]);
  }
}

function exitCode({ tally }: DiffReport, failOn: readonly GroupedBucket[], terminal: Terminal): number {
  if (failOn.some((bucket) => tally.buckets[bucket] > 0)) return EXIT.no;
  const open = failOn.filter((bucket) => tally.open[bucket] + tally.buckets.error > 0);
  if (open.length === 0) return EXIT.ok;
  const told = open.map((bucket) => `${tally.open[bucket] + tally.buckets.error} may be ${bucket}`);
  terminal.err(`pdp: of decisions of which it cannot be told, ${told.join(', ')} (exit code 3)\n`);
  return EXIT.unchecked;
}
