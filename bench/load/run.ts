// Measures the built PDP beside a no-op grpc-js server that is given the very same bytes: `npm run bench`.
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { writeOpenReports, writePolicySet } from './policies.ts';
import { pinGenerator } from './process.ts';
import { progress } from './progress.ts';
import { reachTable } from './reach.ts';
import { otherFigures } from './reach-files.ts';
import { htmlReport } from './report-html.ts';
import { type Report, describeMachine, markdownReport } from './report.ts';
import { type RequestMaker, requestMaker } from './requests.ts';
import { type ScenarioResult, type Timing, median, runScenario } from './scenario.ts';
import { type Planned, SCENARIOS, type Served, planned, population } from './scenarios.ts';
import { type PdpProcess, startPdp } from './servers.ts';
import { writeFormatted } from './write.ts';

const BENCH = fileURLToPath(new URL('..', import.meta.url));
const FULL: Timing = { rounds: 3, saturationMs: 2000, latencyMs: 2500, warmUpMs: 2000 };
const SHORT: Timing = { rounds: 3, saturationMs: 1200, latencyMs: 1600, warmUpMs: 1500 };
const QUICK: Timing = { rounds: 1, saturationMs: 800, latencyMs: 1000, warmUpMs: 600 };
const STARTS = 3;

const { values: flags } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    scenario: { type: 'string' },
    only: { type: 'string' },
    minutes: { type: 'string', default: '10' },
    profile: { type: 'string' },
    /** Absent: `bench/`, but nothing is published of a run that is quick, profiled or of some scenarios. */
    out: { type: 'string' },
  },
});

const partial = (flags.scenario ?? flags.only) !== undefined;

function wanted(): readonly string[] {
  const named = flags.scenario ?? flags.only;
  return named === undefined ? SCENARIOS : named.split(',');
}

/** Runs of scenarios that the same PDP can serve, one after the other. */
function groups(all: readonly Planned[]): Planned[][] {
  const made: Planned[][] = [];
  for (const each of all) {
    const last = made.at(-1);
    if (last?.[0] !== undefined && JSON.stringify(last[0].served) === JSON.stringify(each.served))
      last.push(each);
    else made.push([each]);
  }
  return made;
}

function start(
  folder: string,
  maker: RequestMaker,
  { policies, durability, evaluates }: Served,
): Promise<PdpProcess> {
  const set = join(folder, 'set');
  const policySet = policies === undefined ? writeOpenReports(set) : writePolicySet(set, policies);
  return startPdp({
    folder,
    jwks: maker.jwks,
    policySet,
    evaluates,
    profileDir: flags.profile,
    ...population(flags.quick),
    ...(durability && { durability }),
  });
}

/** Measures what there is time for; the others are named. */
async function runAll(folder: string, all: readonly Planned[], maker: RequestMaker) {
  const end = performance.now() + Number(flags.minutes) * 60_000;
  const results: ScenarioResult[] = [];
  const skipped: string[] = [];
  for (const [index, group] of groups(all).entries()) {
    if (performance.now() > end) {
      skipped.push(...group.map(({ name }) => name));
      continue;
    }
    await using pdp = await start(join(folder, String(index)), maker, group[0]?.served ?? {});
    for (const scenario of group) {
      if (performance.now() > end) skipped.push(scenario.name);
      else {
        const timing = flags.quick ? QUICK : scenario.important ? FULL : SHORT;
        results.push(await runScenario(scenario, pdp, timing, progress));
      }
    }
  }
  return { results, skipped };
}

/** Milliseconds from the start of the process to ready with 100 policies and a small directory, on these cores. */
async function measureStart(folder: string, jwks: object, cores: string): Promise<number> {
  const times: number[] = [];
  for (let n = 0; n < STARTS; n++) {
    const own = join(folder, `start-${cores}-${n}`);
    const policySet = writePolicySet(join(own, 'set'), 100);
    await using pdp = await startPdp({
      folder: own,
      jwks,
      policySet,
      users: ['alice'],
      cores,
      profileDir: undefined,
    });
    times.push(pdp.readyMs);
    progress(`start on core ${cores}: ready after ${Math.round(pdp.readyMs)} ms`);
  }
  return median(times);
}

async function measure(folder: string): Promise<Report> {
  const machine = describeMachine();
  const maker = requestMaker();
  const all = planned(wanted(), maker, flags.quick);
  const startMs = partial
    ? undefined
    : {
        one: await measureStart(folder, maker.jwks, '0'),
        all: await measureStart(folder, maker.jwks, `0-${machine.cores - 1}`),
      };
  const { results, skipped } = await runAll(folder, all, maker);
  if (skipped.length > 0) progress(`no time left for ${skipped.join(', ')}`);
  const figures = { scenarios: results, startMs, ...otherFigures(BENCH) };
  const timings = flags.quick ? [QUICK] : [FULL, SHORT];
  return { ...machine, timings, scenarios: results, skipped, reach: reachTable(figures) };
}

pinGenerator();
const folder = mkdtempSync(join(tmpdir(), 'pdp-bench-'));
try {
  const report = await measure(folder);
  const whole = !flags.quick && !partial && flags.profile === undefined;
  const out = flags.out ?? (whole ? BENCH : undefined);
  if (out !== undefined) {
    mkdirSync(out, { recursive: true });
    await writeFormatted(join(out, 'results.json'), JSON.stringify(report));
    await writeFormatted(join(out, 'RESULTS.md'), markdownReport(report));
    await writeFormatted(join(out, 'results.html'), htmlReport(report));
  }
  process.stdout.write(markdownReport(report));
} finally {
  rmSync(folder, { recursive: true, force: true });
}
