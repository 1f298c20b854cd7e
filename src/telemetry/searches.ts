import { SpanKind, type Tracer, TraceFlags, context, trace as otel } from '@opentelemetry/api';
import { Counter, Histogram, type Registry } from 'prom-client';

/** What is counted and traced of a search. */
export interface SearchFigures {
  readonly id: string;
  /** What was searched for: `subject`, `resource` or `action`. */
  readonly found: string;
  readonly looked_at: number;
  readonly results: number;
  readonly undecided: number;
  readonly latency_us: number;
  readonly trace_id: string | undefined;
  readonly span_id: string | undefined;
}

const BUCKETS = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5];

/** Registers the metrics of searches; those that are turned away are counted as checks. */
export function searchMetrics(registers: Registry[]): (search: SearchFigures) => void {
  const labelNames = ['found'] as const;
  const searches = new Counter({
    name: 'pdp_searches_total',
    help: 'Pages of searches answered.',
    labelNames,
    registers,
  });
  const candidates = new Counter({
    name: 'pdp_search_candidates_total',
    help: 'Candidates that searches looked at, by what came of them.',
    labelNames: ['found', 'outcome'],
    registers,
  });
  const duration = new Histogram({
    name: 'pdp_search_duration_seconds',
    help: 'Arrival of a search to its page.',
    labelNames,
    buckets: BUCKETS,
    registers,
  });
  return ({ found, looked_at: all, results, undecided, latency_us: latencyUs }) => {
    searches.inc({ found });
    candidates.inc({ found, outcome: 'result' }, results);
    candidates.inc({ found, outcome: 'undecided' }, undecided);
    candidates.inc({ found, outcome: 'no_result' }, all - results - undecided);
    duration.observe({ found }, latencyUs / 1e6);
  };
}

/** One span for a search that ends now, joined to the caller's trace. */
export function recordSearchSpan(tracer: Tracer, search: SearchFigures): void {
  const { trace_id: traceId, span_id: spanId } = search;
  const parent =
    traceId === undefined || spanId === undefined
      ? context.active()
      : otel.setSpanContext(context.active(), {
          traceId,
          spanId,
          traceFlags: TraceFlags.SAMPLED,
          isRemote: true,
        });
  const attributes = {
    'pdp.decision_id': search.id,
    'pdp.looked_at': search.looked_at,
    'pdp.results': search.results,
    'pdp.undecided': search.undecided,
  };
  const now = Date.now();
  const startTime = now - search.latency_us / 1000;
  tracer
    .startSpan(`pdp.search ${search.found}`, { kind: SpanKind.SERVER, startTime, attributes }, parent)
    .end(now);
}
