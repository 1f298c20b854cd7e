// Asks the PDP for millions of different things and watches its memory and latency: `npm run bench:soak`.
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { H2Connection } from '../load/h2-connection.ts';
import { type Outcome, closedLoop, openLoop } from '../load/load.ts';
import { writeOpenPaths } from '../load/policies.ts';
import { pinGenerator } from '../load/process.ts';
import { progress } from '../load/progress.ts';
import { describeMachine } from '../load/report.ts';
import { requestMaker } from '../load/requests.ts';
import { percentile } from '../load/scenario.ts';
import { type PdpProcess, startPdp } from '../load/servers.ts';
import { gauge } from '../load/stages.ts';
import { writeFormatted } from '../load/write.ts';
import { type Sample, growthOf } from './growth.ts';
import { TOKEN_EVERY, distinct } from './distinct.ts';
import { type SoakReport, soakHtml, soakMarkdown } from './report.ts';

const BENCH = fileURLToPath(new URL('..', import.meta.url));
const REQUESTS = 10_000_000;
const MINUTES = 20;
const CONNECTIONS = 4;
const CONCURRENCY = 64;
/** Of what it can do: steady, and short of waiting. */
const SHARE = 0.6;
const CALIBRATION_MS = 5000;
/** Of the decision log, so that a disk is enough. */
const LOG_BYTES = 2 ** 30;

const { values: flags } = parseArgs({
  options: {
    requests: { type: 'string' },
    minutes: { type: 'string' },
    /** Calls per second; absent: a share of what it can do. */
    rate: { type: 'string' },
    window: { type: 'string', default: '10' },
    /** Absent: `bench/`, but nothing is published of a run with narrower bounds. */
    out: { type: 'string' },
  },
});

async function sampleOf(pdp: PdpProcess, outcome: Outcome, at: number, requests: number): Promise<Sample> {
  const page = await pdp.metrics();
  const { latencies, answers, seconds, denied, failed } = outcome;
  return {
    at,
    requests,
    rate: answers / seconds,
    p50: percentile(latencies, 0.5),
    p99: percentile(latencies, 0.99),
    p999: percentile(latencies, 0.999),
    rss: gauge(page, 'process_resident_memory_bytes'),
    heap: gauge(page, 'nodejs_heap_size_used_bytes'),
    external: gauge(page, 'nodejs_external_memory_bytes'),
    denied,
    failed,
  };
}

async function soak(folder: string): Promise<SoakReport> {
  const machine = describeMachine();
  const maker = requestMaker();
  const policySet = writeOpenPaths(join(folder, 'set'));
  const retention = { max_bytes: LOG_BYTES };
  const audit = {
    dir: join(folder, 'audit'),
    log: 'bench',
    durability: 'written',
    segment_bytes: LOG_BYTES / 16,
    retention,
  };
  const settings = {
    folder,
    jwks: maker.jwks,
    users: ['alice'],
    policySet,
    more: { audit },
    profileDir: undefined,
  };
  await using pdp = await startPdp(settings);
  const connections = await Promise.all(
    Array.from({ length: CONNECTIONS }, () => H2Connection.connect(pdp.port)),
  );
  const { next, made } = distinct(maker);
  const common = { connections, requestAt: next };
  const rate = flags.rate === undefined ? await calibrate(common) : Number(flags.rate);
  const minutes = Number(flags.minutes ?? MINUTES);
  const wanted = Number(flags.requests ?? REQUESTS);
  const end = minutes * 60;
  const samples: Sample[] = [];
  const start = performance.now();
  const seconds = () => (performance.now() - start) / 1000;
  while (made() < wanted && seconds() < end) {
    const left = Math.min(Number(flags.window), (wanted - made()) / rate, end - seconds());
    const outcome = await openLoop(
      { ...common, measureMs: Math.max(50, left * 1000), warmUpMs: 0, pacing: 'timers' },
      rate,
    );
    const sample = await sampleOf(pdp, outcome, seconds(), made());
    samples.push(sample);
    progress(
      `${made()} requests, ${Math.round(sample.rate)}/s, p99 ${Math.round(sample.p99)} us, resident ${Math.round(sample.rss / 2 ** 20)} MiB`,
    );
  }
  connections.forEach((connection) => connection[Symbol.dispose]());
  const growth = growthOf(samples.map(({ rss }) => rss));
  const ended = made() >= wanted ? 'all requests were made' : `${minutes} minutes were over`;
  const freshTokens = Math.ceil(made() / TOKEN_EVERY);
  return { ...machine, rate, wanted, requests: made(), freshTokens, ended, samples, growth };
}

/** What it can do with requests that are all different, less a margin. */
async function calibrate(
  common: Pick<Parameters<typeof closedLoop>[0], 'connections' | 'requestAt'>,
): Promise<number> {
  const { answers, seconds } = await closedLoop(
    { ...common, measureMs: CALIBRATION_MS, warmUpMs: CALIBRATION_MS / 2 },
    CONCURRENCY,
  );
  const rate = Math.max(1, Math.round((answers / seconds) * SHARE));
  progress(`can do ${Math.round(answers / seconds)}/s; goes on with ${rate}/s`);
  return rate;
}

pinGenerator();
const folder = mkdtempSync(join(tmpdir(), 'pdp-bench-soak-'));
try {
  const report = await soak(folder);
  const { commit, requests, growth } = report;
  const own = Number(flags.requests ?? REQUESTS) < REQUESTS || Number(flags.minutes ?? MINUTES) < MINUTES;
  const out = flags.out ?? (own ? undefined : BENCH);
  if (out !== undefined) {
    mkdirSync(out, { recursive: true });
    await writeFormatted(join(out, 'SOAK.md'), soakMarkdown(report));
    await writeFormatted(join(out, 'soak.html'), soakHtml(report));
    await writeFormatted(join(out, 'soak.json'), JSON.stringify({ commit, requests, growth }));
  }
  process.stdout.write(soakMarkdown(report));
} finally {
  rmSync(folder, { recursive: true, force: true });
}
