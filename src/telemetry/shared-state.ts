import { Counter, Gauge, type Registry } from 'prom-client';

/** How it stands with the state that replicas share. */
export interface SharedStateFigures {
  /** Entries held. */
  readonly size: number;
  /** Ms for which entries of others may have been missed. */
  lagMs(): number;
}

/** Tells the metrics of the state that replicas share. */
export interface SharedStateMetrics {
  /** Entries came into force here: put by us, by another replica, or found when everything was read. */
  sharedStateChanged(count: number, origin: 'own' | 'others' | 'resync'): void;
  /** Everything was read. */
  sharedStateResynced(cause: string): void;
  /** Reads the figures at scrape time. */
  watchSharedState(figures: SharedStateFigures): void;
}

/** Registers what is counted of the shared state. */
export function sharedStateMetrics(registers: Registry[]): SharedStateMetrics {
  const changes = new Counter({
    name: 'pdp_shared_state_changes_total',
    help: 'Entries of the shared state that came into force here, by who brought them.',
    labelNames: ['origin'],
    registers,
  });
  const resyncs = new Counter({
    name: 'pdp_shared_state_resyncs_total',
    help: 'How often the whole shared state was read from Redis, by why.',
    labelNames: ['cause'],
    registers,
  });
  return {
    sharedStateChanged: (count, origin) => changes.inc({ origin }, count),
    sharedStateResynced: (cause) => resyncs.inc({ cause }),
    watchSharedState: (figures) => registerFigures(figures, registers),
  };
}

function registerFigures(figures: SharedStateFigures, registers: Registry[]): void {
  const add = (name: string, help: string, read: () => number) =>
    new Gauge({
      name,
      help,
      registers,
      collect() {
        this.set(read());
      },
    });
  add('pdp_shared_state_entries', 'Entries of the shared state held here.', () => figures.size);
  add(
    'pdp_shared_state_lag_seconds',
    'For how long changes of other replicas may have been missed; 0 while connected and up to date.',
    () => figures.lagMs() / 1000,
  );
}
