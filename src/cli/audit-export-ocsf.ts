import { ocsfEvent } from '../audit/export/ocsf.ts';
import { noteReading } from '../audit/query/access-note.ts';
import { scanRecords } from '../audit/query/scan.ts';
import type { TimeRange } from '../audit/read/time-range.ts';
import { isDecision } from '../audit/read/decision-record.ts';
import { EXIT, type Terminal } from './command.ts';
import { fileSink } from './file-sink.ts';
import { progressLine } from './progress-line.ts';

/** Writes the decisions of a range as OCSF events; the exit code says whether some may be missing. Throws `InputError`. */
export async function exportOcsf(
  dir: string,
  range: TimeRange,
  out: string | undefined,
  terminal: Terminal,
): Promise<number> {
  const sink = out === undefined ? { write: (text: string) => terminal.out(text) } : fileSink(out);
  const progress = progressLine(terminal, 'records');
  let [events, problems] = [0, 0];
  const listener = {
    onProgress: ({ records }: { readonly records: number }) => progress.show(records),
    onProblem: (words: string) => {
      problems += 1;
      terminal.err(`pdp: ${words}\n`);
    },
  };
  for await (const { record } of scanRecords(dir, range, listener)) {
    if (!isDecision(record)) continue;
    events += 1;
    sink.write(`${JSON.stringify(ocsfEvent(record))}\n`);
  }
  progress.end();
  if ('end' in sink) sink.end();
  note(terminal, noteReading(dir, { verb: 'audit export', filter: filterText(range), records: events }));
  if (out !== undefined) terminal.err(`${out}: ${events} events\n`);
  return problems === 0 ? EXIT.ok : EXIT.unchecked;
}

function filterText({ from, to }: TimeRange): string {
  const times = [
    ...(from === undefined ? [] : [`from ${new Date(from).toISOString()}`]),
    ...(to === undefined ? [] : [`to ${new Date(to).toISOString()}`]),
  ];
  return ['ocsf', ...times].join(' ');
}

function note(terminal: Terminal, problem: string | undefined): void {
  if (problem !== undefined) terminal.err(`pdp: ${problem}\n`);
}
