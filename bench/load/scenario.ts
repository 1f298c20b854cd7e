import { H2Connection, type ReadCode, type RequestFrames } from './h2-connection.ts';
import { type Outcome, type RequestAt, type RunOptions, closedLoop, openLoop } from './load.ts';
import { type ServerProcess, machineBusyMs } from './process.ts';
import { type PdpProcess, startNoop } from './servers.ts';
import { type StageTime, denialsBetween, stageBudget } from './stages.ts';

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
  /** Measured longer than the others. */
  readonly important: boolean;
  /** What the PDP's answers have to be. */
  readonly expect: 'allow' | 'deny';
  /** Calls under way at saturation; absent: `UNDER_WAY`. */
  readonly underWay?: number | undefined;
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
  /** Bytes of the PDP's answer, which the no-op server sends too. */
  readonly answerBytes: number;
  /** What the PDP's answers had to be. */
  readonly expect: 'allow' | 'deny';
  /** Where the PDP spent its time in the latency runs, by its own histograms. */
  readonly stages: readonly StageTime[];
  /** Denied checks of the PDP in all of its runs, by reason. */
  readonly denials: Readonly<Record<string, number>>;
  readonly noop: Measured;
  readonly pdp: Measured;
}

const CONNECTIONS = 4;
/** Calls under way at saturation. */
export const UNDER_WAY = 64;

/** Who takes part in a comparison. */
export interface Contender {
  readonly name: string;
  readonly server: ServerProcess;
  readonly requestAt: RequestAt;
  /** Absent: answers are ext_authz's. */
  readonly readCode?: ReadCode;
}

/** What a comparison found, by contender. */
export interface Comparison {
  /** Calls per second of the latency runs. */
  readonly rate: number;
  readonly othersBusy: number;
  readonly measured: ReadonlyMap<string, Measured>;
}

/** How a comparison is made. */
export interface ComparisonOptions {
  readonly title: string;
  readonly timing: Timing;
  readonly progress: (text: string) => void;
  /** Calls under way at saturation; absent: `UNDER_WAY`. */
  readonly underWay?: number | undefined;
  /** Whose half of saturation is the rate of the latency runs; absent: the slowest one's. */
  readonly pacedBy?: string;
  /** Told when the latency runs begin and have ended. */
  readonly around?: (moment: 'begin' | 'end') => Promise<void>;
}

interface Target extends Contender {
  readonly connections: readonly H2Connection[];
  readonly saturation: Outcome[];
  readonly cpuUs: number[];
  readonly steady: Outcome[];
}

/**
 * Measures all contenders, turn by turn so that a noisy minute of the machine hits all: first how much they can do, then their
 * latency at the same rate.
 */
export async function compare(
  contenders: readonly Contender[],
  options: ComparisonOptions,
): Promise<Comparison> {
  const { title, timing, progress, underWay = UNDER_WAY, pacedBy, around } = options;
  const targets = await Promise.all(contenders.map(target));
  try {
    for (const each of targets) {
      progress(`${title}: warming up ${each.name}`);
      await closedLoop({ ...runOptions(each, timing), measureMs: timing.warmUpMs }, underWay);
    }
    await saturate(targets, options);
    const paced = targets.filter(({ name }) => pacedBy === undefined || name === pacedBy);
    const slowest = Math.min(...paced.map(({ saturation }) => median(saturation.map(rateOf))));
    const rate = Math.max(1, Math.round(slowest / 2));
    await around?.('begin');
    const others = othersSince(contenders.map(({ server }) => server));
    await keepSteady(targets, options, rate);
    const othersBusy = others();
    await around?.('end');
    return { rate, othersBusy, measured: new Map(targets.map((each) => [each.name, measured(each)])) };
  } finally {
    for (const { connections } of targets) connections.forEach((connection) => connection[Symbol.dispose]());
  }
}

async function saturate(
  targets: readonly Target[],
  { title, timing, progress, underWay = UNDER_WAY }: ComparisonOptions,
): Promise<void> {
  for (let round = 1; round <= timing.rounds; round++) {
    for (const each of targets) {
      const before = each.server.cpuMs();
      const outcome = await closedLoop(runOptions(each, timing), underWay);
      each.saturation.push(outcome);
      each.cpuUs.push(((each.server.cpuMs() - before) * 1000) / outcome.sent);
      progress(
        `${title}: saturation ${round}/${timing.rounds} ${each.name} ${Math.round(rateOf(outcome))}/s`,
      );
    }
  }
}

async function keepSteady(
  targets: readonly Target[],
  { title, timing, progress }: ComparisonOptions,
  rate: number,
): Promise<void> {
  for (let round = 1; round <= timing.rounds; round++) {
    for (const each of targets) {
      const outcome = await openLoop({ ...runOptions(each, timing), measureMs: timing.latencyMs }, rate);
      if (outcome.latencies.length === 0) throw new Error(`${title}: no call to ${each.name} was measured`);
      each.steady.push(outcome);
      const p99 = Math.round(percentile(outcome.latencies, 0.99));
      progress(`${title}: ${rate}/s ${round}/${timing.rounds} ${each.name} p99 ${p99} us`);
    }
  }
}

/** Measures the PDP and, beside it, a no-op server that sends the same answer. Fails where the first answer is not the expected one. */
export async function runScenario(
  scenario: Scenario,
  pdp: PdpProcess,
  timing: Timing,
  progress: (text: string) => void,
): Promise<ScenarioResult> {
  const { name, description, expect, underWay } = scenario;
  const requestAt = scenario.requestsFor('pdp');
  const answer = await answerOf(pdp.port, requestAt(0), expect);
  await using noop = await startNoop(answer);
  const before = await pdp.metrics();
  const pages: string[] = [];
  const { measured, ...rest } = await compare(
    [
      { name: 'noop', server: noop, requestAt: scenario.requestsFor('noop') },
      { name: 'pdp', server: pdp, requestAt },
    ],
    {
      title: name,
      timing,
      progress,
      underWay,
      pacedBy: 'pdp',
      around: async () => void pages.push(await pdp.metrics()),
    },
  );
  const of = (who: ServerName) => found(measured.get(who));
  const stages = stageBudget(pages[0] ?? '', pages[1] ?? '');
  const denials = denialsBetween(before, await pdp.metrics());
  return {
    ...rest,
    name,
    description,
    expect,
    stages,
    denials,
    answerBytes: answer.length,
    noop: of('noop'),
    pdp: of('pdp'),
  };
}

function found(measured: Measured | undefined): Measured {
  if (measured === undefined) throw new TypeError('a contender was not measured');
  return measured;
}

const ATTEMPTS = 5;

/** The server's own answer to a request, once it is as expected: the first ones may miss a deadline while code is cold. */
export async function answerOf(
  port: number,
  request: RequestFrames,
  expect: 'allow' | 'deny',
  readCode?: ReadCode,
): Promise<Buffer> {
  using connection = await H2Connection.connect(port, readCode);
  const options = { connections: [connection], requestAt: () => request, measureMs: 50, warmUpMs: 0 };
  let last = '';
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    const { allowed, denied, failed } = await closedLoop(options, 1);
    if (failed === 0 && (expect === 'allow' ? denied : allowed) === 0)
      return Buffer.from(connection.lastMessage);
    last = `${allowed} allowed, ${denied} denied, ${failed} failed`;
  }
  throw new Error(`not all is ${expect}: ${last}`);
}

/** How many cores processes that are not ours use, from now until the result is called. */
function othersSince(servers: readonly ServerProcess[]): () => number {
  const generatorMs = () => (process.cpuUsage().user + process.cpuUsage().system) / 1000;
  const others = () =>
    servers.reduce((rest, server) => rest - server.cpuMs(), machineBusyMs()) - generatorMs();
  const [start, before] = [performance.now(), others()];
  return () => Math.max(0, others() - before) / (performance.now() - start);
}

async function target(contender: Contender): Promise<Target> {
  const { server, readCode } = contender;
  const connections = await Promise.all(
    Array.from({ length: CONNECTIONS }, () => H2Connection.connect(server.port, readCode)),
  );
  return { ...contender, connections, saturation: [], cpuUs: [], steady: [] };
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

/** The middle value; of an even number of values the mean of the middle two. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const [below = 0, above = below] = [sorted[(sorted.length - 1) >>> 1], sorted[sorted.length >>> 1]];
  return (below + above) / 2;
}
