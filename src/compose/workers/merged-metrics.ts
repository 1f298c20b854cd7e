import { AggregatorRegistry, Registry } from 'prom-client';

/** A metric as prom-client reports it between processes. */
export interface ReportedMetric {
  readonly name: string;
  readonly help: string;
  readonly type: string;
  readonly aggregator: string;
  readonly values: readonly object[];
}

/** What is the worst of all counts: readiness, ages of what is trusted. */
const LEAST = new Set([
  'pdp_ready',
  'pdp_snapshot_loaded_timestamp_seconds',
  'pdp_svid_expiry_timestamp_seconds',
  'pdp_trust_bundle_confirmed_timestamp_seconds',
  'pdp_issuer_keys_confirmed_timestamp_seconds',
  'pdp_threat_list_confirmed_timestamp_seconds',
  'pdp_event_stream_healthy',
  'pdp_event_stream_verified_timestamp_seconds',
  'pdp_audit_sealing',
]);

/** What each worker has of the same, or of which the longest delay counts. */
const MOST = new Set([
  'pdp_policies',
  'pdp_observed_routes',
  'pdp_shared_state_entries',
  'pdp_shared_state_lag_seconds',
  'pdp_revocations_in_force',
  'pdp_audit_checkpoint_age_seconds',
  'pdp_event_stream_last_event_timestamp_seconds',
  'pdp_information_point_breaker_state',
  'pdp_shedding',
  'pdp_call_wait_seconds',
]);

/** How the figures of several processes become one: counters and amounts are added up. */
function aggregatorOf({ name, aggregator }: ReportedMetric): string {
  if (LEAST.has(name)) return 'min';
  return MOST.has(name) ? 'max' : aggregator;
}

/** One set of metrics of several processes, in the Prometheus text format. */
export async function mergedMetrics(
  reports: readonly (readonly ReportedMetric[])[],
): Promise<{ readonly contentType: string; readonly body: string }> {
  const ruled = reports.map((report) =>
    report.map((metric) => ({ ...metric, aggregator: aggregatorOf(metric) })),
  );
  const registry = AggregatorRegistry.aggregate(ruled);
  return { contentType: Registry.PROMETHEUS_CONTENT_TYPE, body: await registry.metrics() };
}

/** What there is to say of readiness where a worker does not say it itself. */
export const NOT_READY: readonly ReportedMetric[] = [
  {
    name: 'pdp_ready',
    help: '1 while checks can be decided.',
    type: 'gauge',
    aggregator: 'min',
    values: [{ value: 0, labels: {} }],
  },
];

/**
 * Remembers what workers count, and had counted when they ended, as far as it was ever shown. A sum that fell when one of them ended would look
 * like a reset of all, and everything that the others had counted would be counted once more.
 */
export class WorkerCounts {
  readonly #shown = new Map<number, readonly ReportedMetric[]>();
  readonly #ended: Map<string, ReportedMetric>[] = [];

  /** The worker's figures are shown. */
  show(worker: number, report: readonly ReportedMetric[]): void {
    this.#shown.set(worker, report);
  }

  /** The worker ended: what it had counted stays. */
  end(worker: number): void {
    const report = this.#shown.get(worker) ?? [];
    this.#shown.delete(worker);
    const counted = report.filter(({ type }) => type === 'counter' || type === 'histogram');
    this.#ended.push(new Map(counted.map((metric) => [metric.name, metric])));
    if (this.#ended.length > 1) this.#fold();
  }

  /** The figures of all workers as they were last shown, and those of workers that ended. */
  all(): readonly (readonly ReportedMetric[])[] {
    return [...this.#shown.values(), ...this.#ended.map((metrics) => [...metrics.values()])];
  }

  /** Adds up, so that memory does not grow with each worker that ends. */
  #fold(): void {
    const parts = this.#ended.splice(0).map((metrics) => [...metrics.values()]);
    const sum = AggregatorRegistry.aggregate(parts).getMetricsAsArray() as unknown as ReportedMetric[];
    this.#ended.push(
      new Map(
        sum.map(({ name, help, type, aggregator, values }) => [
          name,
          { name, help, type, aggregator, values },
        ]),
      ),
    );
  }
}
