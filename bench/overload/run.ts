// Asks the PDP for twice what it can do, and watches what becomes of the calls: `npm run bench:overload`.
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { H2Connection } from '../load/h2-connection.ts';
import { type RequestAt, closedLoop, openLoop } from '../load/load.ts';
import { writeOpenReports } from '../load/policies.ts';
import { pinGenerator } from '../load/process.ts';
import { progress } from '../load/progress.ts';
import { describeMachine } from '../load/report.ts';
import { type RequestMaker, requestMaker } from '../load/requests.ts';
import { percentile } from '../load/scenario.ts';
import { type Planned, planned, population } from '../load/scenarios.ts';
import { type PdpProcess, startPdp } from '../load/servers.ts';
import { writeFormatted } from '../load/write.ts';
import { normalP99, overNormal, phaseFigures, recoverySeconds } from './figures.ts';
import { type Phase, overloadCode, runPhases } from './phases.ts';
import { type OverloadReport, type OverloadResult, overloadHtml, overloadMarkdown } from './report.ts';

const BENCH = fileURLToPath(new URL('..', import.meta.url));
const CONNECTIONS = 4;
const CONCURRENCY = 64;
/** More than can be under way at once, so that nearly all are turned away. */
const CROWD = 512;
const WINDOW_MS = 100;
/** Ms that calls may wait, at least and at most. */
const TARGET = { least: 0.5, most: 5 };

const { values: flags } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    scenario: { type: 'string', default: 'warm,hot' },
    factor: { type: 'string', default: '2' },
    /** `decision.overload.target_ms`; absent: a quarter of the p99 at half of saturation. */
    target: { type: 'string' },
    /** Absent: `bench/`, but nothing is published of a run that is quick or otherwise not the usual one. */
    out: { type: 'string' },
  },
});
const [MEASURE_MS, NORMAL_MS, OVERLOAD_MS] = flags.quick ? [1000, 2000, 3000] : [3000, 5000, 12_000];
const factor = Number(flags.factor);

interface Serving {
  readonly folder: string;
  readonly maker: RequestMaker;
  readonly scenario: Planned;
}

interface Connected {
  readonly pdp: PdpProcess;
  readonly connections: readonly H2Connection[];
  readonly requestAt: RequestAt;
}

/** Runs `act` against a PDP of its own, warmed up. */
async function against<T>(
  { folder, maker, scenario }: Serving,
  decision: object,
  act: (connected: Connected) => Promise<T>,
): Promise<T> {
  const policySet = writeOpenReports(join(folder, 'set'));
  const own = mkdtempSync(join(folder, 'pdp-'));
  const settings = { folder: own, jwks: maker.jwks, policySet, ...population(true), more: { decision } };
  await using pdp = await startPdp(settings);
  const connect = () => H2Connection.connect(pdp.port, overloadCode);
  const connections = await Promise.all(Array.from({ length: CONNECTIONS }, connect));
  const requestAt = scenario.requestsFor('pdp');
  await closedLoop({ connections, requestAt, measureMs: MEASURE_MS, warmUpMs: 0 }, CONCURRENCY);
  try {
    return await act({ pdp, connections, requestAt });
  } finally {
    connections.forEach((connection) => connection[Symbol.dispose]());
  }
}

function phasesAt(saturation: number, overloadMs: number): Phase[] {
  const normal = { rate: saturation / 2, ms: NORMAL_MS };
  return [
    { ...normal, name: 'before' },
    { name: 'overload', rate: saturation * factor, ms: overloadMs },
    { ...normal, name: 'after' },
  ];
}

async function watch({ pdp, connections, requestAt }: Connected, phases: readonly Phase[]) {
  const resident: number[] = [];
  const windows = await runPhases(connections, requestAt, phases, WINDOW_MS, () => {
    resident.push(pdp.residentBytes());
  });
  let from = 0;
  const parts = phases.map(({ name, ms }) => {
    const count = Math.round(ms / WINDOW_MS);
    const part = windows.slice(from, (from += count));
    return { windows: part, figures: phaseFigures(name, part, ms / 1000) };
  });
  return { parts, windows: windows.slice(0, from), resident };
}

/** What it can do, and how fast it is at half of that, when nothing is shed. */
async function unhindered({ connections, requestAt }: Connected) {
  const run = { connections, requestAt, measureMs: MEASURE_MS, warmUpMs: MEASURE_MS / 4 };
  const { answers, seconds } = await closedLoop(run, CONCURRENCY);
  const saturation = answers / seconds;
  const normal = percentile((await openLoop(run, saturation / 2)).latencies, 0.99);
  return { saturation, normal };
}

async function overload(serving: Serving): Promise<OverloadResult> {
  const { name, description } = serving.scenario;
  const off = { overload: { target_ms: 0 } };
  const { saturation, normal, without } = await against(serving, off, async (connected) => {
    const found = await unhindered(connected);
    progress(`${name}: can do ${Math.round(found.saturation)}/s, p99 at half ${Math.round(found.normal)} us`);
    const { parts } = await watch(connected, phasesAt(found.saturation, NORMAL_MS));
    return { ...found, without: parts.map(({ figures }) => figures) };
  });
  const crowded = { max_in_flight: 1, overload: { target_ms: 0 } };
  const ceiling = await against(serving, crowded, async ({ connections, requestAt }) => {
    const run = { connections, requestAt, measureMs: MEASURE_MS, warmUpMs: MEASURE_MS / 4 };
    const { answers, seconds } = await closedLoop(run, CROWD);
    return answers / seconds;
  });
  progress(`${name}: can shed ${Math.round(ceiling)}/s`);
  const quarter = Math.min(TARGET.most, Math.max(TARGET.least, normal / 4000));
  const targetMs = Number(flags.target ?? quarter.toFixed(1));
  const shedding = { overload: { target_ms: targetMs } };
  return against(serving, shedding, async (connected) => {
    const { parts, windows, resident } = await watch(connected, phasesAt(saturation, OVERLOAD_MS));
    const phases = parts.map(({ figures }) => figures);
    const p99 = normalP99([...phases.slice(0, 1), ...without.slice(0, 1)]);
    const ratio = overNormal(phases[1], p99);
    progress(`${name}: p99 of accepted calls ${ratio.toFixed(2)} × normal`);
    const recovery = recoverySeconds(parts[2]?.windows ?? [], WINDOW_MS, p99);
    return {
      name,
      description,
      saturation,
      ceiling,
      targetMs,
      without,
      phases,
      windows,
      resident,
      ratio,
      recovery,
    };
  });
}

pinGenerator();
const folder = mkdtempSync(join(tmpdir(), 'pdp-bench-overload-'));
try {
  const machine = describeMachine();
  const maker = requestMaker();
  const results: OverloadResult[] = [];
  for (const scenario of planned(flags.scenario.split(','), maker, true))
    results.push(await overload({ folder, maker, scenario }));
  const report: OverloadReport = { ...machine, factor, windowMs: WINDOW_MS, results };
  const usual = !flags.quick && flags.scenario === 'warm,hot' && factor === 2 && flags.target === undefined;
  const out = flags.out ?? (usual ? BENCH : undefined);
  if (out !== undefined) {
    mkdirSync(out, { recursive: true });
    const figures = results.map(({ name: scenario, windows: _windows, resident: _resident, ...rest }) => ({
      scenario,
      ...rest,
    }));
    const json = JSON.stringify({ commit: report.commit, quick: flags.quick, figures });
    await writeFormatted(join(out, 'OVERLOAD.md'), overloadMarkdown(report));
    await writeFormatted(join(out, 'overload.html'), overloadHtml(report));
    await writeFormatted(join(out, 'overload.json'), json);
  }
  process.stdout.write(overloadMarkdown(report));
} finally {
  rmSync(folder, { recursive: true, force: true });
}
