// `npm run interop:spire`: our SPIFFE code against the reference implementation. Starts a real SPIRE server and agent, registers this
// process, and follows through the Workload API and the bundle endpoint what becomes of its SVID and of the bundles. JSON on stdout,
// progress on stderr, docs/interop-spire.md. Exits 1 where something is not as it should be, 3 where SPIRE cannot be had.
import { spawnSync } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { format, resolveConfig } from 'prettier';
import { messageOf } from '../src/pdp/errors.ts';
import type { Log } from '../src/pdp/log.ts';
import { createWorkloadApiSource } from '../src/pip/spiffe/workload-api/workload-api.ts';
import { MACHINE_CLOCK } from '../test/support/clock.ts';
import { SPIRE, Unavailable, provideSpire, startSpire } from './interop-spire-parts.ts';
import { type Run, STEPS } from './interop-spire-steps.ts';

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

async function takeSteps(run: Run): Promise<readonly Outcome[]> {
  const outcomes: Outcome[] = [];
  for (const [step, take] of STEPS) {
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
  const programs = provideSpire(say);
  say('starting a SPIRE server and agent …');
  await using spire = await startSpire(programs);
  await using source = createWorkloadApiSource({ endpoint: spire.endpoint, clock: MACHINE_CLOCK, log });
  const outcomes = await takeSteps({ spire, source, log, entryId: '' });
  const goVersion = spawnSync('go', ['version'], { encoding: 'utf8' }).stdout?.match(/go(\d[\d.]*)/)?.[1];
  return {
    date: new Date().toISOString(),
    spire: SPIRE.version,
    go: goVersion ?? 'not at hand; built before',
    node: process.versions.node,
    outcomes,
  };
}

function page({ date, spire, go, node, outcomes }: Result): string {
  const rows = outcomes.map(
    ({ step, ok, seen, ms }) =>
      `| ${step} | ${ok ? 'yes' : '**no**'} | ${seen} | ${(ms / 1000).toFixed(1)} s |`,
  );
  return [
    '# Interop with SPIRE',
    '',
    'Written by `npm run interop:spire`, which starts a real SPIRE server and agent, registers its own process by Unix user id, and follows',
    'what becomes of it with the code that serves (`src/pip/spiffe`). Not part of `npm test`; needs Go and a C compiler the first time.',
    '',
    `Last run: ${date}, SPIRE ${spire} (built with Go ${go}), Node.js ${node}.`,
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
  return result.outcomes.length === STEPS.length && result.outcomes.every(({ ok }) => ok) ? 0 : 1;
}

try {
  process.exitCode = await main();
} catch (error) {
  say(messageOf(error));
  process.exitCode = error instanceof Unavailable ? 3 : 1;
}
