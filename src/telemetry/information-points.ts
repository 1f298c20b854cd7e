import { Counter, Gauge, Histogram, type Registry } from 'prom-client';

/** How it stands with an information point outside of this process. */
export interface InformationPoint {
  /** Its configured name. */
  readonly name: string;
  readonly breaker: 'closed' | 'half_open' | 'open';
  /** Lookups since the start, by what became of them. */
  readonly lookups: { readonly [outcome: string]: number };
}

/** From a tenth of a millisecond, in memory of the next machine, to the longest that is waited. In seconds. */
const BUCKETS = [0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000].map((ms) => ms / 1000);

/** Registers how long questions to information points take; what is returned is told of each, in ms. */
export function questionTimes(registers: Registry[]): (source: string, ms: number) => void {
  const duration = new Histogram({
    name: 'pdp_information_point_fetch_duration_seconds',
    help: 'Time of one question to an information point outside of this process, answered or not.',
    labelNames: ['source'],
    buckets: BUCKETS,
    registers,
  });
  return (source, ms) => duration.observe({ source }, ms / 1000);
}

/** Registers what became of lookups, and the circuit breakers; `points` is read at scrape time. */
export function registerInformationPoints(
  points: () => readonly InformationPoint[],
  registers: Registry[],
): void {
  countLookups(points, registers);
  showBreakers(points, registers);
}

function countLookups(points: () => readonly InformationPoint[], registers: Registry[]): Counter {
  return new Counter({
    name: 'pdp_information_point_lookups_total',
    help: 'Lookups of facts that come from outside of this process: in memory (fresh, stale), answered (fetched, absent), failed, or not even asked (rejected).',
    labelNames: ['source', 'outcome'],
    registers,
    collect() {
      this.reset();
      for (const { name, lookups } of points())
        for (const [outcome, count] of Object.entries(lookups)) this.inc({ source: name, outcome }, count);
    },
  });
}

/** When a threat list was last confirmed. */
export interface ThreatListAge {
  /** Configured name of the information point. */
  readonly source: string;
  readonly list: string;
  /** Unix ms; 0: never. */
  readonly confirmedAt: number;
}

/** Registers when threat lists were last confirmed; `lists` is read at scrape time. */
export function registerThreatLists(lists: () => readonly ThreatListAge[], registers: Registry[]): Gauge {
  return new Gauge({
    name: 'pdp_threat_list_confirmed_timestamp_seconds',
    help: 'When the source of a threat list last had the version in use; 0 if never.',
    labelNames: ['source', 'list'],
    registers,
    collect() {
      this.reset();
      for (const { source, list, confirmedAt } of lists()) this.set({ source, list }, confirmedAt / 1000);
    },
  });
}

const BREAKER_STATES = { closed: 0, half_open: 1, open: 2 } as const;

function showBreakers(points: () => readonly InformationPoint[], registers: Registry[]): Gauge {
  return new Gauge({
    name: 'pdp_information_point_breaker_state',
    help: 'Circuit breaker of an information point: 0 closed, 1 half open (it is asked once), 2 open (it is left alone).',
    labelNames: ['source'],
    registers,
    collect() {
      this.reset();
      for (const { name, breaker } of points()) this.set({ source: name }, BREAKER_STATES[breaker]);
    },
  });
}
