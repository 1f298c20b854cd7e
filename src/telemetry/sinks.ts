import { Counter, Gauge, type Registry } from 'prom-client';

/** How a sink of the decision log stands; counts since the start. */
export interface SinkFigures {
  readonly name: string;
  /** Records that are in the log and were not delivered yet. */
  readonly lag: number;
  readonly delivered: number;
  readonly failures: number;
  readonly lost: number;
  readonly oversized: number;
}

/** Registers what is known of the sinks of the decision log, read at scrape time. */
export function createSinkMetrics(registers: Registry[], report: () => readonly SinkFigures[]): void {
  lagGauge(registers, report);
  const add = (name: string, help: string, read: (figures: SinkFigures) => number) =>
    new Counter({
      name,
      help,
      labelNames: ['sink'],
      registers,
      collect() {
        this.reset();
        for (const figures of report()) this.inc({ sink: figures.name }, read(figures));
      },
    });
  add('pdp_audit_sink_delivered_total', 'Records that a sink confirmed.', ({ delivered }) => delivered);
  add('pdp_audit_sink_failures_total', 'Deliveries to a sink that failed.', ({ failures }) => failures);
  add(
    'pdp_audit_sink_lost_total',
    'Records that were removed from the log before a sink could deliver them.',
    ({ lost }) => lost,
  );
  add(
    'pdp_audit_sink_oversized_total',
    'Records that were longer than the receiver of a sink takes: it got a stub.',
    ({ oversized }) => oversized,
  );
}

function lagGauge(registers: Registry[], report: () => readonly SinkFigures[]): Gauge {
  return new Gauge({
    name: 'pdp_audit_sink_lag_records',
    help: 'Records in the decision log that a sink has not delivered yet.',
    labelNames: ['sink'],
    registers,
    collect() {
      for (const { name, lag } of report()) this.set({ sink: name }, lag);
    },
  });
}
