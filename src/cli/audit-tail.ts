import { parseFilter } from '../audit/query/filter.ts';
import { harmless, rowText } from '../audit/query/row.ts';
import { type TailedRecord, follow, lastRecords } from '../audit/query/tail.ts';
import { logWords, recordReading, wholeNumber } from './audit-log-args.ts';
import { type Stop, stopOnInterrupt } from './audit-stop.ts';
import {
  CONFIG_OPTION,
  type Command,
  EXIT,
  type Terminal,
  auditDirFor,
  parseCommandArgs,
} from './command.ts';
import { overLogs } from './over-logs.ts';

const DEFAULT_COUNT = '10';

const OPTIONS = {
  ...CONFIG_OPTION,
  lines: { type: 'string', short: 'n', default: DEFAULT_COUNT },
  follow: { type: 'boolean', short: 'f' },
  json: { type: 'boolean' },
} as const;

/** `pdp audit tail [DIR] [FILTER...]`: the last records of a decision log, and with `--follow` those that come. */
export const auditTail: Command = overLogs(
  {
    name: 'audit tail',
    usage: '[DIR] [FILTER…] [-n N] [-f] [--follow] [--json] [--config FILE]',
    summary: 'show the last records of a decision log, and with --follow (-f) those that come, one line each',
    run: async (args, terminal) => await runTail(args, terminal, stopOnInterrupt),
  },
  { options: OPTIONS, endless: ['follow'] },
);

/** Runs the command; `stopped` gives what ends the following. */
export async function runTail(
  args: readonly string[],
  terminal: Terminal,
  stopped: () => Stop,
): Promise<number> {
  const { values, positionals } = parseCommandArgs(args, OPTIONS);
  const words = logWords(positionals);
  const filter = parseFilter(words.filters);
  const count = wholeNumber(values.lines, '-n', 0);
  const dir = words.dir ?? auditDirFor(values.config, terminal);
  const show = ({ line, record }: TailedRecord) =>
    terminal.out(
      values.json ? `${line.toString()}\n` : `${rowText(record, { colours: terminal.interactive })}\n`,
    );
  const { records, position } = await lastRecords(dir, count, filter);
  for (const record of records) show(record);
  const reading = { verb: 'audit tail', filter: filter.text, records: records.length };
  recordReading(dir, { ...reading, ...(values.follow && { follow: true }) }, terminal);
  if (!values.follow) return EXIT.ok;
  using stop = stopped();
  const onProblem = (text: string) => terminal.err(`pdp: ${harmless(text)}\n`);
  for await (const found of follow({ dir, position, signal: stop.signal, onProblem }))
    if (filter.matches(found.record)) show(found);
  return EXIT.ok;
}
