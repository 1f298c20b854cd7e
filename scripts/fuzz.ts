// Looks for inputs that break a promise of ours, guided by coverage: `npm run fuzz`; docs/fuzzing.md says how.
import { parseArgs } from 'node:util';
import { writeCorpus, writeFinding } from '../test/fuzz/engine/entries.ts';
import type { CoverageFigure } from '../test/fuzz/engine/coverage.ts';
import type { Progress } from '../test/fuzz/engine/engine.ts';
import { type SearchOutcome, type SearchResult, search } from '../test/fuzz/search.ts';
import { TARGETS } from '../test/fuzz/targets.ts';

const { values: flags } = parseArgs({
  options: {
    target: { type: 'string', multiple: true, default: Object.keys(TARGETS) },
    seconds: { type: 'string', default: '60' },
    runs: { type: 'string' },
    seed: { type: 'string', default: '1' },
    json: { type: 'boolean', default: false },
    'update-corpus': { type: 'boolean', default: false },
  },
});

const unknown = flags.target.filter((name) => !Object.hasOwn(TARGETS, name));
if (unknown.length > 0) {
  console.error(`no target ${unknown.join(', ')}; there are ${Object.keys(TARGETS).join(', ')}`);
  process.exit(2);
}
const results: SearchResult[] = [];
for (const name of flags.target) results.push(await searchIn(name));
console.log(
  flags.json
    ? JSON.stringify(results.map(({ findings, ...rest }) => ({ ...rest, findings: findings.length })))
    : table(results),
);
process.exit(results.some(({ findings }) => findings.length > 0) ? 1 : 0);

async function searchIn(target: string): Promise<SearchResult> {
  const bound = boundOf(flags.target.length);
  const order = { target, seed: wholeNumber('seed', flags.seed), distil: flags['update-corpus'], ...bound };
  const { result, corpus }: SearchOutcome = await search(order, (progress) => tell(target, progress));
  for (const finding of result.findings)
    console.error(`${target}: ${finding.problem}\n  saved as ${writeFinding(finding)}`);
  if (flags['update-corpus'] && corpus.length > 0) writeCorpus(target, corpus);
  return result;
}

/** The seconds are for all targets together; with a number of runs, which is for each, there is no other end. */
function boundOf(targets: number): { readonly runs: number } | { readonly milliseconds: number } {
  if (flags.runs !== undefined) return { runs: wholeNumber('runs', flags.runs) };
  return { milliseconds: (wholeNumber('seconds', flags.seconds) * 1000) / targets };
}

function wholeNumber(name: string, text: string): number {
  if (/^\d{1,9}$/.test(text)) return Number(text);
  console.error(`--${name} is not a whole number`);
  process.exit(2);
}

function tell(target: string, { executions, corpus, findings, coverage }: Progress): void {
  const found = findings > 0 ? `, ${findings} FOUND` : '';
  process.stderr.write(
    `${target}: ${executions} runs, ${percent(coverage)} of the code, corpus ${corpus}${found}\n`,
  );
}

function percent({ covered, total }: CoverageFigure): string {
  return total === 0 ? '-' : `${((100 * covered) / total).toFixed(1)} %`;
}

function table(rows: readonly SearchResult[]): string {
  const cells = rows.map((row) => [
    row.target,
    (row.milliseconds / 1000).toFixed(0),
    String(row.executions),
    percent(row.coverage),
    String(row.corpus),
    row.medianUs.toFixed(0),
    String(row.findings.length),
  ]);
  const head = ['target', 'seconds', 'executions', 'code run', 'corpus', 'median µs', 'found'];
  const lines = [head, head.map(() => '---'), ...cells].map((line) => `| ${line.join(' | ')} |`);
  return lines.join('\n');
}
