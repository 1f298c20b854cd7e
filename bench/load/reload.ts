// What a reload of ten thousand policies does to the calls that are answered meanwhile: `npm run bench:reload`. Once with a core to spare
// for the thread that compiles, once with one core for it and the thread that serves.
import { mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { H2Connection } from './h2-connection.ts';
import { type Outcome, openLoop } from './load.ts';
import { hurryGenerator, pinGenerator } from './process.ts';
import { describeMachine } from './report.ts';
import { requestMaker } from './requests.ts';
import { median } from './scenario.ts';
import { startPdp } from './servers.ts';
import { writeFormatted } from './write.ts';

const POLICIES = 10_000;
const RATE = 500;
const WINDOW_MS = 12_000;
/** A slow machine compiles for longer than that. */
const WINDOWS = 5;
const RELOADS = 5;
const OUT = fileURLToPath(new URL('../RELOAD.md', import.meta.url));
/** For the table of `npm run bench`. */
const FIGURES = fileURLToPath(new URL('../reload.json', import.meta.url));

/** Writes the set; each version differs in every policy. */
function writePolicies(folder: string, version: number): void {
  const lines = Array.from(
    { length: POLICIES },
    (_, n) =>
      `@id("bench.p${n}") permit(principal == ZeroTrust::User::"bench/x${n}", action == ZeroTrust::Action::"GET", resource in ZeroTrust::Service::"s${n % 50}") when { context has device && context.device has compliant && context.device.compliant && resource.path like "/${version}/${n}/*" };`,
  );
  const ours = '@id("bench.all") permit(principal, action == ZeroTrust::Action::"POST", resource);';
  writeFileSync(join(folder, 'bench.cedar'), [ours, ...lines].join('\n'));
}

/** How many reloads the decision log tells of. */
function activations(auditDir: string): number {
  const text = readdirSync(auditDir)
    .filter((name) => name.endsWith('.ndjson'))
    .map((name) => readFileSync(join(auditDir, name), 'utf8'))
    .join('');
  return text.split('"kind":"policy_activated"').length - 2;
}

function quantile({ latencies }: Seen, q: number): number {
  return (latencies[Math.floor(latencies.length * q)] ?? 0) / 1000;
}

type Seen = Pick<Outcome, 'latencies' | 'denied' | 'failed'>;

interface Row {
  readonly before: Seen;
  readonly during: Seen;
}

function joined(outcomes: readonly Seen[]): Seen {
  const sum = (of: (outcome: Seen) => number) => outcomes.reduce((all, outcome) => all + of(outcome), 0);
  return {
    latencies: Float64Array.from(outcomes.flatMap(({ latencies }) => [...latencies])).sort(),
    denied: sum(({ denied }) => denied),
    failed: sum(({ failed }) => failed),
  };
}

/** Where the threads of the server run. */
interface Placement {
  readonly title: string;
  /** As `taskset` takes them. */
  readonly cores: string;
}

const PLACEMENTS: readonly Placement[] = [
  { title: 'A core to spare for the compiling thread', cores: '0,1' },
  { title: 'One core for serving and compiling', cores: '0' },
];

async function measure(folder: string, { cores }: Placement): Promise<Row[]> {
  const set = join(folder, 'big');
  mkdirSync(set, { recursive: true });
  const schema = fileURLToPath(new URL('../../policies/schema.cedarschema', import.meta.url));
  writeFileSync(join(set, 'schema.cedarschema'), readFileSync(schema));
  writePolicies(set, 0);
  const maker = requestMaker();
  const files = join(folder, 'pdp');
  await using pdp = await startPdp({
    folder: files,
    jwks: maker.jwks,
    users: ['alice'],
    profileDir: undefined,
    policySet: set,
    cores,
  });
  using connection = await H2Connection.connect(pdp.port);
  const request = maker.meshCall();
  const run = (measureMs: number, warmUpMs: number) =>
    openLoop(
      { connections: [connection], requestAt: () => request, measureMs, warmUpMs, pacing: 'timers' },
      RATE,
    );
  const rows: Row[] = [];
  for (let reload = 1; reload <= RELOADS; reload++) {
    const before = await run(WINDOW_MS, reload === 1 ? 5000 : 500);
    writePolicies(set, reload);
    const windows: Seen[] = [];
    do windows.push(await run(WINDOW_MS, 0));
    while (activations(join(files, 'audit')) < reload && windows.length < WINDOWS);
    if (activations(join(files, 'audit')) !== reload)
      throw new Error(`reload ${reload} did not end within ${WINDOWS * WINDOW_MS} ms`);
    const during = joined(windows);
    process.stderr.write(
      `reload ${reload}/${RELOADS}: p99 ${quantile(before, 0.99).toFixed(1)} ms before, ${quantile(during, 0.99).toFixed(1)} ms with it\n`,
    );
    rows.push({ before, during });
  }
  return rows;
}

/** The p99 with a reload over the p99 before it, sorted. */
function ratiosOf(rows: readonly Row[]): number[] {
  return rows
    .map(({ before, during }) => quantile(during, 0.99) / quantile(before, 0.99))
    .sort((a, b) => a - b);
}

function section({ title }: Placement, rows: readonly Row[]): string[] {
  const line = ({ before, during }: Row, index: number) => {
    const [was, is] = [quantile(before, 0.99), quantile(during, 0.99)];
    const cells = [
      index + 1,
      quantile(before, 0.5).toFixed(2),
      quantile(during, 0.5).toFixed(2),
      was.toFixed(1),
      is.toFixed(1),
      (is / was).toFixed(2),
      during.denied,
      during.failed,
    ];
    return `| ${cells.join(' | ')} |`;
  };
  const ratios = ratiosOf(rows);
  return [
    `## ${title}`,
    '',
    '| reload | p50 before | p50 with it | p99 before | p99 with it | ratio of p99 | denied | failed |',
    '| --- | --- | --- | --- | --- | --- | --- | --- |',
    ...rows.map(line),
    '',
    `Median ratio of the p99: **${median(ratios).toFixed(2)}** (reach: at most 2), from ${ratios[0]?.toFixed(2)} to ${ratios.at(-1)?.toFixed(2)}.`,
    '',
  ];
}

function report(sections: readonly string[], hurried: boolean): string {
  const { commit, node, cpu, cores } = describeMachine();
  return [
    '# A reload of 10 000 policies while serving',
    '',
    `Made by \`npm run bench:reload\`. Commit ${commit}, Node.js ${node}, ${cpu}, ${cores} cores; the generator on the second core${hurried ? ', before all else there' : ''}, paced by timers;`,
    `open loop at ${RATE}/s, latency from the moment each call was due; ${WINDOW_MS / 1000} s before each reload, ${WINDOW_MS / 1000} s from the change of the files on, or several times as long where the reload took longer. In ms.`,
    '',
    ...sections,
  ].join('\n');
}

pinGenerator();
const hurried = hurryGenerator();
const folder = mkdtempSync(join(tmpdir(), 'pdp-bench-'));
try {
  const sections: string[] = [];
  const figures: { title: string; ratio: number }[] = [];
  for (const [index, placement] of PLACEMENTS.entries()) {
    process.stderr.write(`${placement.title}\n`);
    const rows = await measure(join(folder, String(index)), placement);
    sections.push(...section(placement, rows));
    figures.push({ title: placement.title, ratio: median(ratiosOf(rows)) });
  }
  const text = report(sections, hurried);
  await writeFormatted(FIGURES, JSON.stringify({ commit: describeMachine().commit, figures }));
  await writeFormatted(OUT, text);
  process.stdout.write(text);
} finally {
  rmSync(folder, { recursive: true, force: true });
}
