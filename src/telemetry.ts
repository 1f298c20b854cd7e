import {
  type Span,
  SpanKind,
  SpanStatusCode,
  type Tracer,
  TraceFlags,
  context,
  trace as otel,
} from '@opentelemetry/api';
import { type Logger, destination, pino } from 'pino';
import { Counter, Gauge, Registry, collectDefaultMetrics } from 'prom-client';
import type { SlotName } from './pdp/policy-slots.ts';
import type { Observer } from './pdp/ports.ts';
import { evidenceProblem } from './pdp/refused-evidence.ts';
import type { ShadowOutcome } from './pdp/shadow-report.ts';
import type { DecisionTrace, Stage } from './pdp/trace.ts';
import type { BundleHealth } from './pdp/x509-svid.ts';
import { checksCounter } from './telemetry/checks.ts';
import { DurationHistogram } from './telemetry/duration-histogram.ts';
import { type EventStreamMetrics, eventStreamMetrics } from './telemetry/event-streams.ts';
import { type GrantMetrics, grantMetrics } from './telemetry/grants.ts';
import {
  type InformationPoint,
  type ThreatListAge,
  questionTimes,
  registerInformationPoints,
  registerThreatLists,
} from './telemetry/information-points.ts';
import { type IssuerKeys, registerIssuerKeys } from './telemetry/issuers.ts';
import { type OverloadFigures, registerOverload } from './telemetry/overload.ts';
import { type SearchFigures, recordSearchSpan, searchMetrics } from './telemetry/searches.ts';
import { type SharedStateMetrics, sharedStateMetrics } from './telemetry/shared-state.ts';

/** The operational log, on stderr: stdout is for what a command answers. Fields that hold credentials are cut out wherever they occur. */
export function createLogger(level: string): Logger {
  const redact = ['authorization', 'cookie', 'token', 'password', 'headers', 'body', 'query'];
  return pino(
    { level, base: null, redact: { paths: [...redact, ...redact.map((key) => `*.${key}`)], remove: true } },
    destination({ fd: 2, sync: true }),
  );
}

/** Figures read at scrape time. */
export interface Gauges {
  readonly inFlight: () => number;
  readonly overload: OverloadFigures;
  readonly cacheEntries: () => number;
  readonly cacheBytes: () => number;
  readonly policies: () => number;
  /** Unix ms; 0 while there is no snapshot. */
  readonly snapshotLoadedAt: () => number;
  /** Routes whose denies are only logged. */
  readonly observedRoutes: () => number;
  readonly ready: () => boolean;
  /** Unix ms at which our SVID expires; 0 while none is held. */
  readonly svidExpiresAt: () => number;
  /** SVIDs refused since the start. */
  readonly svidsRefused: () => number;
  /** The trust bundles that are wanted; `confirmedAt` in Unix ms. */
  readonly bundles: () => readonly BundleHealth[];
  readonly issuerKeys: () => readonly IssuerKeys[];
  /** Those outside of this process. */
  readonly informationPoints: () => readonly InformationPoint[];
  readonly threatLists: () => readonly ThreatListAge[];
}

/** The metrics of this process. */
export interface Metrics extends EventStreamMetrics, GrantMetrics, SharedStateMetrics {
  readonly registry: Registry;
  checked(trace: DecisionTrace): void;
  turnedAway(trace: DecisionTrace): void;
  readonly searched: (search: SearchFigures) => void;
  encoded(microseconds: number): void;
  policyReload(outcome: 'loaded' | 'refused', slot: SlotName): void;
  shadow(outcome: ShadowOutcome | 'skipped'): void;
  connectionRefused(surface: string, cause: string): void;
  svidTaken(): void;
  /** One question to an information point outside of this process, and how long it took in ms. */
  informationPointAsked(source: string, ms: number): void;
  watch(gauges: Gauges): void;
}

/** Registers the metrics. Labels have few values: surface, decision, reason, stage, and whether the cache answered. */
export function createMetrics(): Metrics {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  const registers = [registry];
  const countCheck = checksCounter(registers);
  const duration = new DurationHistogram(
    'pdp_check_duration_seconds',
    'Arrival to recorded decision; without the checks that were turned away.',
    'decision',
    registers,
  );
  const stages = new DurationHistogram(
    'pdp_stage_duration_seconds',
    'Time in each stage of a check.',
    'stage',
    registers,
  );
  const countRefused = evidenceCounter(registers);
  return {
    registry,
    checked(trace) {
      countRefused(trace);
      countCheck(trace);
      const recordUs = trace.timings.record ?? 0;
      const decision = trace.decision.verdict === 'permit' ? 'ALLOW' : 'DENY';
      duration.observe(decision, trace.latencyUs + recordUs);
      for (const stage in trace.timings) stages.observe(stage, trace.timings[stage as Stage] ?? 0);
    },
    turnedAway: countCheck,
    searched: searchMetrics(registers),
    encoded: (microseconds) => stages.observe('encode', microseconds),
    ...policyMetrics(registers),
    ...identityMetrics(registers),
    informationPointAsked: questionTimes(registers),
    ...eventStreamMetrics(registers),
    ...grantMetrics(registers),
    ...sharedStateMetrics(registers),
    watch: (gauges) => registerGauges(gauges, registers),
  };
}

function policyMetrics(registers: Registry[]): Pick<Metrics, 'policyReload' | 'shadow'> {
  const reloads = new Counter({
    name: 'pdp_policy_reloads_total',
    help: 'Policy changes seen, by outcome and slot.',
    labelNames: ['outcome', 'slot'],
    registers,
  });
  const shadows = new Counter({
    name: 'pdp_shadow_total',
    help: 'Checks also decided by the candidate policies, by what would have changed; skipped: too many waited.',
    labelNames: ['outcome'],
    registers,
  });
  return {
    policyReload: (outcome, slot) => reloads.inc({ outcome, slot }),
    shadow: (outcome) => shadows.inc({ outcome }),
  };
}

function evidenceCounter(registers: Registry[]): (trace: DecisionTrace) => void {
  const refused = new Counter({
    name: 'pdp_evidence_refused_total',
    help: 'Evidence of identity that was refused, by whom it was about and by what was wrong with it.',
    labelNames: ['kind', 'cause'],
    registers,
  });
  return (trace) => {
    const problem = evidenceProblem(trace);
    if (problem) refused.inc({ ...problem });
  };
}

function identityMetrics(registers: Registry[]): Pick<Metrics, 'connectionRefused' | 'svidTaken'> {
  const refusedConnections = new Counter({
    name: 'pdp_connections_refused_total',
    help: 'Connections over mutual TLS that were refused or cut, by surface and by what was wrong.',
    labelNames: ['surface', 'cause'],
    registers,
  });
  const svids = new Counter({
    name: 'pdp_svids_taken_total',
    help: 'X.509-SVIDs of our own that were put in force, the first included.',
    registers,
  });
  return {
    connectionRefused: (surface, cause) => refusedConnections.inc({ surface, cause }),
    svidTaken: () => svids.inc(),
  };
}

function registerGauges(gauges: Gauges, registers: Registry[]): void {
  const add = (name: string, help: string, read: () => number) =>
    new Gauge({
      name,
      help,
      registers,
      collect() {
        this.set(read());
      },
    });
  add('pdp_checks_in_flight', 'Checks under way.', gauges.inFlight);
  registerOverload(gauges.overload, registers);
  add('pdp_decision_cache_entries', 'Entries of the decision cache.', gauges.cacheEntries);
  add('pdp_decision_cache_bytes', 'Estimated bytes of the decision cache.', gauges.cacheBytes);
  add('pdp_policies', 'Policies in the active snapshot.', gauges.policies);
  add(
    'pdp_snapshot_loaded_timestamp_seconds',
    'When the active snapshot was loaded.',
    () => gauges.snapshotLoadedAt() / 1000,
  );
  add(
    'pdp_observed_routes',
    'Routes in observe mode: their denies are logged and let through.',
    gauges.observedRoutes,
  );
  add(
    'pdp_svid_expiry_timestamp_seconds',
    'When our X.509-SVID expires; 0 while none is held.',
    () => gauges.svidExpiresAt() / 1000,
  );
  add('pdp_ready', '1 while checks can be decided.', () => Number(gauges.ready()));
  refusedSvids(gauges, registers);
  confirmedBundles(gauges, registers);
  registerIssuerKeys(gauges.issuerKeys, registers);
  registerInformationPoints(gauges.informationPoints, registers);
  registerThreatLists(gauges.threatLists, registers);
}

function refusedSvids({ svidsRefused }: Gauges, registers: Registry[]): Counter {
  return new Counter({
    name: 'pdp_svid_refused_total',
    help: 'X.509-SVIDs of our own that came and were not taken.',
    registers,
    collect() {
      this.reset();
      this.inc(svidsRefused());
    },
  });
}

function confirmedBundles({ bundles }: Gauges, registers: Registry[]): Gauge {
  return new Gauge({
    name: 'pdp_trust_bundle_confirmed_timestamp_seconds',
    help: 'When the source of a trust bundle last said what is in force of it: read, fetched or pushed; 0 if never.',
    labelNames: ['trust_domain'],
    registers,
    collect() {
      this.reset();
      for (const { trustDomain, confirmedAt = 0 } of bundles())
        this.set({ trust_domain: trustDomain }, confirmedAt / 1000);
    },
  });
}

/** Traces of checks; off until an OTLP endpoint is configured. */
export interface Tracing extends AsyncDisposable {
  readonly observer: Observer;
  /** Told of every search that was answered. Must not throw. */
  searched(search: SearchFigures): void;
}

/** Also how long a collector that does not answer can hold up the end of the process. */
const EXPORT_TIMEOUT_MS = 2000;

/** Starts traces to an OTLP/HTTP endpoint. The SDK is loaded only then: it costs start-up time that most runs need not pay. */
export async function startTracing(options: {
  readonly otlpUrl: string | undefined;
  readonly serviceName: string;
}): Promise<Tracing | undefined> {
  if (options.otlpUrl === undefined) return undefined;
  const { NodeSDK } = await import('@opentelemetry/sdk-node');
  const { OTLPTraceExporter } = await import('@opentelemetry/exporter-trace-otlp-http');
  const traceExporter = new OTLPTraceExporter({ url: options.otlpUrl, timeoutMillis: EXPORT_TIMEOUT_MS });
  const sdk = new NodeSDK({ serviceName: options.serviceName, traceExporter, instrumentations: [] });
  sdk.start();
  const tracer = otel.getTracer('cedar-pdp');
  return {
    observer: { checked: (trace) => recordSpans(tracer, trace) },
    searched: (search) => recordSearchSpan(tracer, search),
    // Spans that the collector does not take are lost; that is no fault of ours to end with.
    [Symbol.asyncDispose]: () => sdk.shutdown().catch(() => undefined),
  };
}

/** One span for the check, joined to the caller's trace, with a child for each stage, in the order they ran. */
function recordSpans(tracer: Tracer, trace: DecisionTrace): void {
  const { receivedAt, timings, decision } = trace;
  const parent = trace.trace
    ? otel.setSpanContext(context.active(), {
        ...trace.trace,
        traceFlags: TraceFlags.SAMPLED,
        isRemote: true,
      })
    : context.active();
  const attributes = {
    'pdp.decision_id': trace.id,
    'pdp.decision': decision.verdict === 'permit' ? 'ALLOW' : 'DENY',
    'pdp.reason': decision.reason,
    'pdp.policies': [...decision.policies],
    'pdp.cached': trace.cache?.hit ?? false,
  };
  const span = tracer.startSpan(
    `pdp.check ${trace.surface}`,
    { kind: SpanKind.SERVER, startTime: receivedAt, attributes },
    parent,
  );
  let at = receivedAt;
  for (const [stage, microseconds] of Object.entries(timings)) {
    const child = tracer.startSpan(`pdp.${stage}`, { startTime: at }, otel.setSpan(parent, span));
    at += microseconds / 1000;
    child.end(at);
  }
  end(span, trace, at);
}

function end(span: Span, { decision }: DecisionTrace, at: number): void {
  if (decision.reason === 'internal' || decision.reason === 'engine_fault')
    span.setStatus({ code: SpanStatusCode.ERROR });
  span.end(at);
}
