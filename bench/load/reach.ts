import type { ScenarioResult } from './scenario.ts';

/** A figure of a bench of its own, and the commit it is of. */
export interface OtherFigure {
  readonly value: number;
  readonly commit: string;
  /** What is served has changed since that commit, or nobody can say. */
  readonly older?: boolean;
}

/** All that the table is made of; what is absent was not measured. */
export interface Figures {
  readonly scenarios: readonly ScenarioResult[];
  /** Milliseconds until ready with 100 policies: on one core, as all else here, and on all that the machine has. */
  readonly startMs?: { readonly one: number; readonly all: number } | undefined;
  /** Our throughput over that of a peer, by scenario of `bench:peers`. */
  readonly peers?: (scenario: string, peer: string) => OtherFigure | undefined;
  /** p99 with a reload over p99 before it, a core to spare for the compiling thread. */
  readonly reload?: OtherFigure | undefined;
  /** The same, one core for both. */
  readonly reloadOneCore?: OtherFigure | undefined;
  /** p99 of accepted calls at twice the saturation rate over the smallest at half of it: each call a new decision, or the same again and again. */
  readonly overload?: OtherFigure | undefined;
  readonly overloadHot?: OtherFigure | undefined;
  /** Largest resident memory of the last third of a soak over that of the middle third. */
  readonly memory?: (OtherFigure & { readonly requests: number }) | undefined;
  /** Records/s and core. */
  readonly replay?: OtherFigure | undefined;
  readonly replayMemoised?: OtherFigure | undefined;
}

/** A row of the design's table of numbers to reach (§10). */
export interface ReachRow {
  readonly what: string;
  readonly reach: string;
  readonly figure: string;
  readonly verdict: 'reached' | 'not reached' | 'not measured';
}

/** Requests that a soak needs to say something about memory. */
export const SOAK_REQUESTS = 10_000_000;
/** What resident memory may vary by and count as flat. */
export const FLAT = 1.1;

/** The design's table, row by row. */
export function reachTable(figures: Figures): ReachRow[] {
  const hot = named(figures, 'hot');
  return [
    ...counting(hotRows(hot), hot),
    ...peerRows(figures),
    ...coldRow('cold path, p99', named(figures, 'cold')),
    ...coldRow('cold path with every question evaluated, p99', named(figures, 'evaluated')),
    ...counting([policiesRow(figures)], named(figures, 'policies-10'), named(figures, 'policies-10000')),
    ...reloadRows(figures),
    ...overloadRows(figures),
    memoryRow(figures.memory),
    other(
      'replay, uncached, evaluated records/s and core',
      '≥ 5000',
      figures.replay,
      'bench:audit',
      (n) => n >= 5000,
      0,
    ),
    other(
      'replay, memoised keys, records/s and core',
      '≥ 50 000',
      figures.replayMemoised,
      'bench:audit',
      (n) => n >= 50_000,
      0,
    ),
    startRow('all cores', figures.startMs?.all),
    startRow('one core', figures.startMs?.one),
  ];
}

function coldRow(what: string, cold: ScenarioResult | undefined): ReachRow[] {
  const p99 = cold?.pdp.latency.p99 ?? Infinity;
  const figure = cold && `${(p99 / 1000).toFixed(2)} ms at ${cold.rate}/s`;
  return counting([row(what, '< 1 ms', figure, p99 < 1000)], cold);
}

function startRow(cores: string, ms = Infinity): ReachRow {
  const figure = Number.isFinite(ms) ? `${Math.round(ms)} ms` : undefined;
  return row(`start: ready with 100 policies, ${cores}`, '< 1 s', figure, ms < 1000);
}

function peerRows({ peers }: Figures): ReachRow[] {
  const scenarios = [
    ['user', 'a user with a token and a device'],
    ['mesh', 'one workload calls another'],
  ] as const;
  const reach = [
    ['cerbos', 'Cerbos', 6],
    ['opa-envoy', 'OPA-Envoy', 4],
  ] as const;
  return scenarios.flatMap(([scenario, words]) =>
    reach.map(([peer, name, least]) =>
      other(
        `hot path beside ${name}, decision logs on: ${words}`,
        `≥ ${least} ×`,
        peers?.(scenario, peer),
        'bench:peers',
        (n) => n >= least,
      ),
    ),
  );
}

function reloadRows({ reload, reloadOneCore }: Figures): ReachRow[] {
  const what = (cores: string) => `reload of 10 000 policies, ${cores}: p99 during over p99 before`;
  const within = (ratio: number) => ratio <= 2;
  return [
    other(what('a core to spare'), '≤ 2 ×', reload, 'bench:reload', within),
    other(what('one core'), '≤ 2 ×', reloadOneCore, 'bench:reload', within),
  ];
}

function overloadRows({ overload, overloadHot }: Figures): ReachRow[] {
  const what = (of: string) => `overload at twice saturation, ${of}: p99 of accepted over normal`;
  const within = (ratio: number) => ratio <= 3;
  return [
    other(what('new decisions'), '≤ 3 ×', overload, 'bench:overload', within),
    other(what('hot path'), '≤ 3 ×', overloadHot, 'bench:overload', within),
  ];
}

/** The share of answers that may be other than expected and the figures still count. */
const STRAY = 0.01;

/** Answers that are not what the scenario is about: denied for want of time, or none at all. */
function stray({ expect, pdp }: ScenarioResult): number {
  const wrong = (expect === 'allow' ? pdp.denied : pdp.allowed) + pdp.failed;
  return wrong / Math.max(1, pdp.allowed + pdp.denied + pdp.failed);
}

/** Takes back what was reached with too many stray answers, and says how many there were. */
function counting(
  rows: readonly ReachRow[],
  ...scenarios: readonly (ScenarioResult | undefined)[]
): ReachRow[] {
  const share = Math.max(0, ...scenarios.map((scenario) => (scenario ? stray(scenario) : 0)));
  if (share <= STRAY) return [...rows];
  const note = `${(share * 100).toFixed(1)} % of the answers were not the expected ones`;
  return rows.map((each) =>
    each.verdict === 'not measured'
      ? each
      : { ...each, figure: `${each.figure}; ${note}`, verdict: 'not reached' },
  );
}

function named({ scenarios }: Figures, name: string): ScenarioResult | undefined {
  return scenarios.find((scenario) => scenario.name === name);
}

function hotRows(hot: ScenarioResult | undefined): ReachRow[] {
  const over = (key: 'p50' | 'p99') => (hot ? hot.pdp.latency[key] / hot.noop.latency[key] : 0);
  const throughput = hot ? hot.pdp.throughput / hot.noop.throughput : 0;
  const p99 = hot?.pdp.latency.p99 ?? Infinity;
  const times = (value: number) => hot && `${value.toFixed(2)} ×`;
  return [
    row(
      'hot path, throughput over the no-op server, audit `written`, one core',
      '≥ 0.75 ×',
      times(throughput),
      throughput >= 0.75,
    ),
    row(
      'hot path at half of saturation, p50 over the no-op server',
      '≤ 1.3 ×',
      times(over('p50')),
      over('p50') <= 1.3,
    ),
    row(
      'hot path at half of saturation, p99 over the no-op server',
      '≤ 1.5 ×',
      times(over('p99')),
      over('p99') <= 1.5,
    ),
    row(
      'hot path at half of saturation, p99',
      '< 1 ms',
      hot && `${(p99 / 1000).toFixed(2)} ms at ${hot.rate}/s`,
      p99 < 1000,
    ),
  ];
}

/** By CPU time for each answer: what other work on the machine distorts least. */
function policiesRow(figures: Figures): ReachRow {
  const [few, many] = [named(figures, 'policies-10'), named(figures, 'policies-10000')];
  const ratio = few && many ? many.pdp.cpuUs / few.pdp.cpuUs : undefined;
  const figure = ratio === undefined ? undefined : `${ratio.toFixed(2)} × the CPU time of a decision`;
  return row('10 000 policies against 10, cold', '≤ 1.5 ×', figure, (ratio ?? Infinity) <= 1.5);
}

function memoryRow(memory: Figures['memory']): ReachRow {
  const what = '10 million distinct requests do not grow memory';
  if (memory === undefined) return row(what, 'flat', undefined, false, 'npm run bench:soak');
  const { value, requests } = memory;
  const figure = `${value.toFixed(2)} × after ${requests.toLocaleString('en-US')} requests (${source('bench:soak', memory)})`;
  if (requests < SOAK_REQUESTS)
    return { what, reach: `≤ ${FLAT} ×`, figure: `${figure}: too few to say`, verdict: 'not measured' };
  return row(what, `≤ ${FLAT} ×`, figure, value <= FLAT);
}

function other(
  what: string,
  reach: string,
  figure: OtherFigure | undefined,
  script: string,
  reached: (value: number) => boolean,
  digits = 2,
): ReachRow {
  const unit = digits === 0 ? '' : ' ×';
  const text = figure && `${figure.value.toFixed(digits)}${unit} (${source(script, figure)})`;
  return row(what, reach, text, figure !== undefined && reached(figure.value), `npm run ${script}`);
}

function source(script: string, { commit, older }: OtherFigure): string {
  return `${script}, ${commit}${older === true ? ', which served other code' : ''}`;
}

function row(
  what: string,
  reach: string,
  figure: string | undefined,
  reached: boolean | undefined,
  command?: string,
): ReachRow {
  if (figure === undefined)
    return { what, reach, figure: command ? `\`${command}\`` : '', verdict: 'not measured' };
  return { what, reach, figure, verdict: reached === true ? 'reached' : 'not reached' };
}
