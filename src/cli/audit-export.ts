import { NotProvable, buildEvidence } from '../audit/export/build-evidence.ts';
import { noteReading } from '../audit/query/access-note.ts';
import { type TimeRange, parseTime } from '../audit/read/time-range.ts';
import { TlogError } from '../audit/tlog/tlog-error.ts';
import { InputError, messageOf } from '../pdp/errors.ts';
import { exportOcsf } from './audit-export-ocsf.ts';
import {
  CONFIG_OPTION,
  type Command,
  EXIT,
  type Terminal,
  auditDirFor,
  parseCommandArgs,
} from './command.ts';
import { overLogs } from './over-logs.ts';
import { fileSink } from './file-sink.ts';
import { vkeyOf } from './vkey.ts';

const OPTIONS = {
  ...CONFIG_OPTION,
  decision: { type: 'string' },
  ocsf: { type: 'boolean' },
  from: { type: 'string' },
  to: { type: 'string' },
  out: { type: 'string' },
  vkey: { type: 'string' },
} as const;

/** `pdp audit export [DIR]`: one decision as evidence, or decisions as OCSF events. */
export const auditExport: Command = overLogs(
  {
    name: 'audit export',
    usage: '[DIR] --decision ID | --ocsf [--from TIME] [--to TIME] [--out FILE] [--vkey KEY] [--config FILE]',
    summary: 'write a file that proves one decision offline, or decisions as OCSF 1.8 events',
    async run(args, terminal) {
      const { values, positionals } = parseCommandArgs(args, OPTIONS);
      const { decision, ocsf = false, out, vkey } = values;
      if ((decision === undefined) === !ocsf) throw usage('give either --decision or --ocsf');
      if (positionals.length > 1) throw usage('expected one folder at most');
      const range = rangeOf(values.from, values.to);
      if (decision !== undefined && (range.from ?? range.to) !== undefined)
        throw usage('--from and --to are for --ocsf');
      const dir = positionals[0] ?? auditDirFor(values.config, terminal);
      return decision === undefined
        ? exportOcsf(dir, range, out, terminal)
        : exportEvidence(dir, decision, { out, vkey }, terminal);
    },
  },
  { options: OPTIONS, searches: ['decision'], data: true },
);

function rangeOf(from: string | undefined, to: string | undefined): TimeRange {
  return {
    ...(from !== undefined && { from: parseTime(from, '--from') }),
    ...(to !== undefined && { to: parseTime(to, '--to') }),
  };
}

async function exportEvidence(
  dir: string,
  id: string,
  { out, vkey }: { readonly out: string | undefined; readonly vkey: string | undefined },
  terminal: Terminal,
): Promise<number> {
  try {
    const text = await buildEvidence(dir, id, vkey === undefined ? undefined : vkeyOf(vkey));
    const unnoted = noteReading(dir, { verb: 'audit export', id, records: 1 });
    if (unnoted !== undefined) terminal.err(`pdp: ${unnoted}\n`);
    writeOut(text, out, terminal);
    if (out !== undefined)
      terminal.err(`${out}: check it with pdp audit verify --evidence ${out} --vkey KEY\n`);
    return EXIT.ok;
  } catch (error) {
    if (!(error instanceof NotProvable || error instanceof TlogError)) throw error;
    terminal.err(`pdp: the decision cannot be proven: ${messageOf(error)}\n`);
    return EXIT.unchecked;
  }
}

function writeOut(text: string, out: string | undefined, terminal: Terminal): void {
  if (out === undefined) return terminal.out(text);
  const sink = fileSink(out);
  sink.write(text);
  sink.end();
}

function usage(message: string): InputError {
  return new InputError('bad usage:', [{ where: 'pdp audit export', message }]);
}
