import { H2Connection } from './h2-connection.ts';
import { type Outcome, type RequestAt, type RunOptions, closedLoop, openLoop } from './load.ts';
import { type ServerProcess, machineBusyMs } from './servers.ts';

/** How long everything takes. */
export interface Timing {
  readonly rounds: number;
  readonly saturationMs: number;
  readonly latencyMs: number;
  readonly warmUpMs: number;
}

/** One kind of load. */
export interface Scenario {
  readonly name: string;
  readonly description: string;
  /** Requests for a server; each call of the result goes on where the last one stopped. */
  readonly requestsFor: (server: ServerName) => RequestAt;
}

/** Who is measured. */
export type ServerName = 'noop' | 'pdp';

/** What a server did in one scenario. */
export interface Measured {
  /** Answers per second at saturation, median of the rounds. */
  readonly throughput: number;
  readonly throughputs: readonly number[];
  /** CPU time of the server for each answer at saturation, in microseconds: what other work on the machine distorts least. */
  readonly cpuUs: number;
  /** Microseconds at the scenario's rate, median of the rounds. */
  readonly latency: Percentiles;
  /** Percentile and microseconds of the round with the median p99, to draw. */
  readonly curve: readonly (readonly [percentile: number, us: number])[];
  readonly allowed: number;
  readonly denied: number;
  readonly failed: number;
  /** Highest share of its core that the generator needed at saturation. */
  readonly generatorBusy: number;
}

/** Latency in microseconds. */
export interface Percentiles {
  readonly p50: number;
  readonly p90: number;
  readonly p99: number;
  readonly p999: number;
}

/** Both servers in one scenario. */
export interface ScenarioResult {
  readonly name: string;
  readonly description: string;
  /** Calls per second of the latency runs: half of the PDP's saturation, the same for both. */
  readonly rate: number;
  /** Cores that other processes used during the latency runs: they make the rare calls slow, whoever answers them. */
  readonly othersBusy: number;
  readonly noop: Measured;
  readonly pdp: Measured;
}

const CONNECTIONS = 4;
const CONCURRENCY = 64;

interface Target {
  readonly name: ServerName;
  readonly server: ServerProcess;
  readonly connections: readonly H2Connection[];
  readonly requestAt: RequestAt;
  readonly saturation: Outcome[];
  readonly cpuUs: number[];
  readonly steady: Outcome[];
}

/**
 * Measures both servers, turn by turn so that a noisy minute of the machine hits both: first how much they can do, then their
 * latency at half of what the PDP can do.
 */
export async function runScenario(
  scenario: Scenario,
  servers: Readonly<Record<ServerName, ServerProcess>>,
  timing: Timing,
  progress: (text: string) => void,
): Promise<ScenarioResult> {
  const noop = await target('noop', servers.noop, scenario);
  const pdp = await target('pdp', servers.pdp, scenario);
  const targets = [noop, pdp];
  for (const { name, ...each } of targets) {
    progress(`${scenario.name}: warming up ${name}`);
    await closedLoop({ ...runOptions(each, timing), measureMs: timing.warmUpMs }, CONCURRENCY);
  }
  for (let round = 1; round <= timing.rounds; round++) {
    for (const each of targets) {
      const before = each.server.cpuMs();
      const outcome = await closedLoop(runOptions(each, timing), CONCURRENCY);
      each.saturation.push(outcome);
      each.cpuUs.push(((each.server.cpuMs() - before) * 1000) / outcome.sent);
      progress(
        `${scenario.name}: saturation ${round}/${timing.rounds} ${each.name} ${Math.round(rateOf(outcome))}/s`,
      );
    }
  }
  const rate = Math.max(1, Math.round(median(pdp.saturation.map(rateOf)) / 2));
  const others = othersSince(servers);
  for (let round = 1; round <= timing.rounds; round++) {
    for (const each of targets) {
      const outcome = await openLoop({ ...runOptions(each, timing), measureMs: timing.latencyMs }, rate);
      each.steady.push(outcome);
      const p99 = Math.round(percentile(outcome.latencies, 0.99));
      progress(`${scenario.name}: ${rate}/s ${round}/${timing.rounds} ${each.name} p99 ${p99} us`);
    }
  }
  const othersBusy = others();
  for (const { connections } of targets) connections.forEach((connection) => connection[Symbol.dispose]());
  return {
    name: scenario.name,
    description: scenario.description,
    rate,
    othersBusy,
    noop: measured(noop),
    pdp: measured(pdp),
  };
}

/** How many cores processes that are not ours use, from now until the result is called. */
function othersSince({ noop, pdp }: Readonly<Record<ServerName, ServerProcess>>): () => number {
  const generatorMs = () => (process.cpuUsage().user + process.cpuUsage().system) / 1000;
  const others = () => machineBusyMs() - noop.cpuMs() - pdp.cpuMs() - generatorMs();
  const [start, before] = [performance.now(), others()];
  return () => Math.max(0, others() - before) / (performance.now() - start);
}

async function target(name: ServerName, server: ServerProcess, scenario: Scenario): Promise<Target> {
  const connections = await Promise.all(
    Array.from({ length: CONNECTIONS }, () => H2Connection.connect(server.port)),
  );
  return {
    name,
    server,
    connections,
    requestAt: scenario.requestsFor(name),
    saturation: [],
    cpuUs: [],
    steady: [],
  };
}

function runOptions(
  { connections, requestAt }: Pick<Target, 'connections' | 'requestAt'>,
  timing: Timing,
): RunOptions {
  return {
    connections,
    requestAt,
    measureMs: timing.saturationMs,
    warmUpMs: Math.min(300, timing.saturationMs / 4),
  };
}

function measured({ saturation, cpuUs, steady }: Target): Measured {
  const all = [...saturation, ...steady];
  const sum = (pick: (outcome: Outcome) => number) =>
    all.reduce((total, outcome) => total + pick(outcome), 0);
  const at = (p: number) => median(steady.map(({ latencies }) => percentile(latencies, p)));
  const byP99 = steady.toSorted((a, b) => percentile(a.latencies, 0.99) - percentile(b.latencies, 0.99));
  const middle = byP99[Math.floor(byP99.length / 2)]?.latencies ?? new Float64Array();
  return {
    throughput: median(saturation.map(rateOf)),
    throughputs: saturation.map(rateOf),
    cpuUs: median(cpuUs),
    latency: { p50: at(0.5), p90: at(0.9), p99: at(0.99), p999: at(0.999) },
    curve: CURVE.map((p) => [p, percentile(middle, p)] as const),
    allowed: sum(({ allowed }) => allowed),
    denied: sum(({ denied }) => denied),
    failed: sum(({ failed }) => failed),
    generatorBusy: Math.max(...saturation.map(({ generatorBusy }) => generatorBusy)),
  };
}

/** From the median to the rarest calls, evenly on a scale of nines. */
const CURVE = Array.from({ length: 61 }, (_, i) => 1 - 10 ** -(i / 20));

function rateOf({ answers, seconds }: Outcome): number {
  return answers / seconds;
}

/** The smallest value that at least the share `p` of the sorted values does not exceed. */
export function percentile(sorted: Float64Array, p: number): number {
  return sorted[Math.max(0, Math.ceil(sorted.length * p) - 1)] ?? 0;
}

/** The middle value; the lower one of two. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.ceil(sorted.length / 2) - 1] ?? 0;
}
