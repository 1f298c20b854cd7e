// `npm run interop:spire`: our SPIFFE code against the reference implementation. Starts a real SPIRE server and agent, registers this
// process, and follows through the Workload API and the bundle endpoint what becomes of its SVID and of the bundles; then does the same to
// a `pdp serve`, and asks it as a registered PEP. JSON on stdout, progress on stderr, docs/interop-spire.md. Exits 1 where something is not
// as it should be, 3 where SPIRE cannot be had.
import { spawnSync } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { format, resolveConfig } from 'prettier';
import { messageOf } from '../src/pdp/errors.ts';
import type { Log } from '../src/pdp/log.ts';
import { createWorkloadApiSource } from '../src/pip/spiffe/workload-api/workload-api.ts';
import { MACHINE_CLOCK } from '../test/support/clock.ts';
import { SPIRE, Unavailable, provideSpire, startSpire } from './interop-spire-parts.ts';
import { prepareServedPdp } from './interop-spire-pdp.ts';
import { SERVED_STEPS, type ServedRun } from './interop-spire-served.ts';
import { STEPS } from './interop-spire-steps.ts';

const ALL_STEPS: typeof SERVED_STEPS = [...STEPS, ...SERVED_STEPS];
const ROOT = fileURLToPath(new URL('..', import.meta.url));
const PAGE = fileURLToPath(new URL('../docs/interop-spire.md', import.meta.url));

/** What became of one step. */
interface Outcome {
  readonly step: string;
  readonly ok: boolean;
  /** What was seen, or what went wrong. */
  readonly seen: string;
  readonly ms: number;
}

interface Result {
  readonly date: string;
  readonly commit: string;
  readonly spire: string;
  readonly go: string;
  readonly node: string;
  readonly outcomes: readonly Outcome[];
}

function say(text: string): void {
  process.stderr.write(`${text}\n`);
}

const log: Log = {
  info: () => undefined,
  warn: (fields, message) => say(`    warn: ${message} ${JSON.stringify(fields)}`),
  error: (fields, message) => say(`    error: ${message} ${JSON.stringify(fields)}`),
};

async function takeSteps(run: ServedRun): Promise<readonly Outcome[]> {
  const outcomes: Outcome[] = [];
  for (const [step, take] of ALL_STEPS) {
    say(`${step} …`);
    const begun = performance.now();
    const [ok, seen] = await take(run).then(
      (words) => [true, words] as const,
      (error: unknown) => [false, messageOf(error)] as const,
    );
    const ms = Math.round(performance.now() - begun);
    outcomes.push({ step, ok, seen, ms });
    say(`  ${ok ? 'ok' : 'FAILED'} after ${(ms / 1000).toFixed(1)} s: ${seen}`);
    // Every step stands on the one before.
    if (!ok) break;
  }
  return outcomes;
}

async function interop(): Promise<Result> {
  const commit = commitOf();
  const programs = provideSpire(say);
  say('starting a SPIRE server and agent …');
  await using spire = await startSpire(programs);
  await using source = createWorkloadApiSource({ endpoint: spire.endpoint, clock: MACHINE_CLOCK, log });
  await using pdp = await prepareServedPdp(spire.endpoint);
  const outcomes = await takeSteps({ spire, source, log, entryId: '', pdp });
  const goVersion = spawnSync('go', ['version'], { encoding: 'utf8' }).stdout?.match(/go(\d[\d.]*)/)?.[1];
  return {
    date: new Date().toISOString(),
    commit,
    spire: SPIRE.version,
    go: goVersion ?? 'not at hand; built before',
    node: process.versions.node,
    outcomes,
  };
}

function commitOf(): string {
  const git = (...args: readonly string[]): string =>
    spawnSync('git', args, { cwd: ROOT, encoding: 'utf8' }).stdout?.trim() ?? '';
  const id = git('rev-parse', '--short=12', 'HEAD') || 'unknown';
  return git('status', '--porcelain', '--', 'src', 'proto') === '' ? id : `${id} with changes`;
}

function page({ date, commit, spire, go, node, outcomes }: Result): string {
  const rows = outcomes.map(
    ({ step, ok, seen, ms }) =>
      `| ${step} | ${ok ? 'yes' : '**no**'} | ${seen} | ${(ms / 1000).toFixed(1)} s |`,
  );
  return [
    '# Interop with SPIRE',
    '',
    'Written by `npm run interop:spire`, which starts a real SPIRE server and agent, registers its own process by Unix user id, and follows',
    'what becomes of it with the code that serves (`src/pip/spiffe`). Then it starts the built `pdp serve` with `spiffe.source: workload_api`,',
    'registers it and itself, by the paths of their programs, as two workloads, and asks the server as a PEP that is on `grpc.allow`.',
    'Not part of `npm test`; needs Go and a C compiler the first time.',
    '',
    `Last run: ${date}, commit ${commit}, SPIRE ${spire} (built with Go ${go}), Node.js ${node}.`,
    '',
    '| step | as it should be | what was seen | took |',
    '| --- | --- | --- | --- |',
    ...rows,
    '',
    'The agent asks its server for changes every five seconds, and SVIDs here live for 20 seconds: most of the time is theirs.',
    '',
  ].join('\n');
}

async function main(): Promise<number> {
  const result = await interop();
  const options = await resolveConfig(PAGE);
  await writeFile(PAGE, await format(page(result), { ...options, filepath: PAGE }));
  process.stdout.write(`${JSON.stringify(result, undefined, 2)}\n`);
  return result.outcomes.length === ALL_STEPS.length && result.outcomes.every(({ ok }) => ok) ? 0 : 1;
}

try {
  process.exitCode = await main();
} catch (error) {
  say(messageOf(error));
  process.exitCode = error instanceof Unavailable ? 3 : 1;
}
