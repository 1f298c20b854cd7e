// Measures what several workers can do on the cores of this machine: `npm run bench:workers`.
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { H2Connection } from '../load/h2-connection.ts';
import { closedLoop } from '../load/load.ts';
import { machineBusyMs } from '../load/process.ts';
import { progress } from '../load/progress.ts';
import { describeMachine } from '../load/report.ts';
import { type RequestMaker, requestMaker } from '../load/requests.ts';
import { median } from '../load/scenario.ts';
import { startPdp } from '../load/servers.ts';
import { writeFormatted } from '../load/write.ts';
import { type WorkersResult, workersHtml, workersMarkdown } from './report.ts';

const BENCH = fileURLToPath(new URL('..', import.meta.url));
const MAIN = fileURLToPath(new URL('../../dist/main.js', import.meta.url));
const CONNECTIONS = 16;
const CONCURRENCY = 128;
const ROUNDS = 5;
const WARM_UP_MS = 4000;

const { values: flags } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    /** Absent: `bench/`, but nothing is published of a quick run. */
    out: { type: 'string' },
  },
});
const roundMs = flags.quick ? 800 : 3000;

async function measure(workers: number, folder: string, maker: RequestMaker): Promise<WorkersResult> {
  const rounds: { readonly rate: number; readonly generatorBusy: number; readonly coresBusy: number }[] = [];
  {
    const cores = `0-${availableParallelism() - 1}`;
    const settings = { folder, jwks: maker.jwks, users: ['alice'], profileDir: undefined, cores };
    await using _pdp = await startPdp({ ...settings, more: { workers } });
    const connections = await Promise.all(
      Array.from({ length: CONNECTIONS }, () => H2Connection.connect(_pdp.port)),
    );
    const request = maker.report('alice');
    const common = { connections, requestAt: () => request };
    await closedLoop({ ...common, warmUpMs: WARM_UP_MS, measureMs: 1 }, CONCURRENCY);
    for (let round = 0; round < ROUNDS; round++) {
      const [busy, began] = [machineBusyMs(), performance.now()];
      const outcome = await closedLoop({ ...common, warmUpMs: 0, measureMs: roundMs }, CONCURRENCY);
      if (outcome.denied + outcome.failed > 0) throw new Error('answers were not the expected ones');
      const coresBusy = (machineBusyMs() - busy) / (performance.now() - began);
      rounds.push({
        rate: outcome.answers / outcome.seconds,
        generatorBusy: outcome.generatorBusy,
        coresBusy,
      });
    }
    connections.forEach((connection) => connection[Symbol.dispose]());
  }
  const middle = (of: 'rate' | 'generatorBusy' | 'coresBusy') => median(rounds.map((round) => round[of]));
  progress(`${workers} workers: ${Math.round(middle('rate'))}/s`);
  return {
    workers,
    rate: middle('rate'),
    generatorBusy: middle('generatorBusy'),
    coresBusy: middle('coresBusy'),
    ...verify(join(folder, 'audit')),
  };
}

/** What the logs are, now that nobody writes to them. */
function verify(dir: string): Pick<WorkersResult, 'verified' | 'records'> {
  const { stdout, status } = spawnSync(process.execPath, [MAIN, 'audit', 'verify', dir], {
    encoding: 'utf8',
    maxBuffer: 64 * 2 ** 20,
  });
  if (status !== 0) throw new Error(`the logs do not verify:\n${stdout.slice(-1000)}`);
  const records = [...stdout.matchAll(/^records +(\d+) in/gm)].map(([, count]) => Number(count));
  return { verified: 'verified', records: records.reduce((sum, count) => sum + count, 0) };
}

const folder = mkdtempSync(join(tmpdir(), 'pdp-bench-workers-'));
try {
  const [machine, maker] = [describeMachine(), requestMaker()];
  const results: WorkersResult[] = [];
  for (let workers = 1; workers <= availableParallelism(); workers++)
    results.push(await measure(workers, join(folder, String(workers)), maker));
  const report = { ...machine, results };
  const out = flags.out ?? (flags.quick ? undefined : BENCH);
  if (out !== undefined) {
    mkdirSync(out, { recursive: true });
    await writeFormatted(join(out, 'WORKERS.md'), workersMarkdown(report));
    await writeFormatted(join(out, 'workers.html'), workersHtml(report));
    await writeFormatted(join(out, 'workers.json'), JSON.stringify(report));
  }
  process.stdout.write(workersMarkdown(report));
} finally {
  rmSync(folder, { recursive: true, force: true });
}
