import { Counter, Gauge, type Registry } from 'prom-client';

/** How it stands with calls that are turned away, read at scrape time. */
export interface OverloadFigures {
  /** Calls turned away since the start, by surface. */
  readonly shed: () => ReadonlyMap<string, number>;
  /** Whether calls are being shed because others waited too long. */
  readonly shedding: () => boolean;
  /** Ms that calls may have waited before the last turn of the event loop with calls in it. */
  readonly waitedMs: () => number;
}

/** Registers the figures of overload. */
export function registerOverload({ shed, shedding, waitedMs }: OverloadFigures, registers: Registry[]): void {
  const counter: Counter<'surface'> = new Counter({
    name: 'pdp_calls_shed_total',
    help: 'Calls turned away at once because there were too many.',
    labelNames: ['surface'],
    registers,
    collect() {
      counter.reset();
      for (const [surface, count] of shed()) counter.inc({ surface }, count);
    },
  });
  const add = (name: string, help: string, read: () => number) =>
    new Gauge({
      name,
      help,
      registers,
      collect() {
        this.set(read());
      },
    });
  add('pdp_shedding', '1 while calls are turned away because others waited too long.', () =>
    Number(shedding()),
  );
  add(
    'pdp_call_wait_seconds',
    'How long the last calls may have waited for the event loop before they were begun.',
    () => waitedMs() / 1000,
  );
}
