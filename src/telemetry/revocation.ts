import { Gauge, Histogram, type Registry } from 'prom-client';

/** What is read at scrape time. */
export interface RevocationFigures {
  /** Revocations in force, by the kind of subject that they are found by. */
  countByKind(): ReadonlyMap<string, number>;
}

/** Tells the metrics of revocations. */
export interface RevocationMetrics {
  /** An effect has come into force here, these ms after it happened. */
  taken(lagMs: number): void;
  /** Has the figures read from now on. */
  watch(figures: RevocationFigures): void;
}

/** From a journal's write on the spot to a replica that was cut off. In seconds. */
const BUCKETS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60, 600];

/** Registers how many revocations are in force, and how long they take from what happened to their effect in this process. */
export function createRevocationMetrics(registers: Registry[]): RevocationMetrics {
  const lag = new Histogram({
    name: 'pdp_revocation_lag_seconds',
    help: 'From what happened, by the clock of whoever says so, to its effect in this process.',
    buckets: BUCKETS,
    registers,
  });
  return {
    taken: (lagMs) => lag.observe(lagMs / 1000),
    watch: (figures) => void inForce(figures, registers),
  };
}

function inForce(figures: RevocationFigures, registers: Registry[]): Gauge {
  return new Gauge({
    name: 'pdp_revocations_in_force',
    help: 'Revocations and shut-offs in force, by the kind of their subject.',
    labelNames: ['kind'],
    registers,
    collect() {
      this.reset();
      for (const [kind, count] of figures.countByKind()) this.set({ kind }, count);
    },
  });
}
