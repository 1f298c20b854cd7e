import type { Logger } from 'pino';
import { type ExtAuthzParts, ExtAuthzService } from './api/ext-authz/service.ts';
import { Admission } from './api/admission.ts';
import { InFlight } from './api/in-flight.ts';
import type { OnwardIdentity } from './api/onward/onward-identity.ts';
import { openGate } from './api/ops/ops-admin.ts';
import { type Route, json } from './api/ops/ops-route.ts';
import type { OpsParts, Readiness } from './api/ops/ops.ts';
import { loadExtAuthzTypes } from './api/protos.ts';
import type { LogWriter } from './audit/log/log-writer.ts';
import { type Core, type CoreParts, SYSTEM_CLOCK, composeCore } from './compose/core.ts';
import { type AuditLog, openAuditLog } from './compose/audit.ts';
import { auditWarnings, watchAuditLog } from './compose/audit-watch.ts';
import { createDecisionService } from './compose/check.ts';
import { type EventStreams, openEventStreams } from './compose/event-streams.ts';
import { openOnwardIdentity } from './compose/onward.ts';
import { type ActivationLog, createActivationLog, createRollout } from './compose/rollout.ts';
import {
  type RevocationRouteSource,
  createRecordedEffects,
  createRevocationAdmin,
  revocationRoutesOf,
} from './compose/revocation-admin.ts';
import { dpopOf, httpRoutesOf } from './compose/http-routes.ts';
import { observerOf, openTracing } from './compose/observers.ts';
import { createReadiness, followReadiness, gaugesOf } from './compose/readiness.ts';
import { openMeasuredState, sharedStateWarnings } from './compose/shared-state.ts';
import { type Surfaces, drainSurfaces, openSurfaces, plaintextSurfaces } from './compose/surfaces.ts';
import { type OwnIdentity, openIdentity } from './compose/svid.ts';
import { createControl } from './compose/workers/control.ts';
import type { WorkerSeat } from './compose/workers/worker.ts';
import { LOOPBACK } from './config/rules.ts';
import { SURFACES, isPlaintext } from './config/surfaces.ts';
import { withLogOfWorker } from './config/worker-audit.ts';
import type { Config } from './config.ts';
import type { PolicySlots } from './pdp/policy-slots.ts';
import type { Log } from './pdp/log.ts';
import type { SharedState } from './pdp/shared-state.ts';
import { type Metrics, createMetrics } from './telemetry.ts';
import { type RevocationMetrics, createRevocationMetrics } from './telemetry/revocation.ts';

/** A serving process. */
export interface App {
  /** Where each surface listens. */
  readonly addresses: { readonly grpc: string; readonly ops: string; readonly http?: string };
  readonly policies: PolicySlots;
  readiness(): Readiness;
  /** Stops in order: readiness falls, calls finish, the log is closed, the rest is let go. */
  stop(): Promise<void>;
}

/**
 * Starts everything that `pdp serve` serves. Rejects, with nothing left running, where any part cannot start, or when `signal` is aborted
 * while we wait for an SVID of our own. `seat`: of a worker, whose ops surface is that of its primary.
 */
export async function startApp(
  config: Config,
  log: Logger,
  signal?: AbortSignal,
  seat?: WorkerSeat,
): Promise<App> {
  await using stack = new AsyncDisposableStack();
  const metrics = createMetrics();
  const revoked = createRevocationMetrics([metrics.registry]);
  const tracing = await openTracing(config.telemetry, stack);
  const gate = openGate(config.ops.admin_token_file, LOOPBACK.test(config.ops.address));
  const audit = await openAuditLog(withLogOfWorker(config, seat?.number), log, stack);
  const { writer, recorder } = audit;
  watchAuditLog(audit, [metrics.registry]);
  const activations = createActivationLog(writer, log);
  const identity = await openIdentity(config.spiffe, { clock: SYSTEM_CLOCK, log, metrics }, stack);
  const shared = await openMeasuredState(config.shared_state, { log, metrics }, stack);
  const core = stack.use(
    await composeCore(config, {
      shared,
      recorder,
      observer: observerOf([metrics, ...(tracing ? [tracing.observer] : [])], log, stack),
      log,
      ...(identity && { bundles: () => identity.trust.svids.state.bundles }),
      ...countedBy(metrics, revoked, activations),
    }),
  );
  const onward = await openOnwardIdentity(config.onward_identity, { clock: SYSTEM_CLOCK, log }, stack);
  const events = await openEvents(config, { core, shared, writer, metrics, log }, stack);
  const inFlight = new InFlight(config.decision.max_in_flight, admissionOf(config));
  const services = servicesOf(config, { core, onward }, { inFlight, ...reportingOf(metrics, log) });
  const state = { draining: false, listening: false };
  const needed = plaintextSurfaces(config).length < SURFACES.length ? identity : undefined;
  const warnings = warningsOf(config, { identity, events, audit, shared });
  const readiness = createReadiness({ core, writer, onward, identity: needed, warnings }, state);
  metrics.watch(gaugesOf({ core, identity }, inFlight, readiness));
  revoked.watch(core.revocations);
  const around = { clock: SYSTEM_CLOCK, log, writer, metrics, ...dpopOf(config) };
  const revocation = revocationOf(core, around);
  const rollout = createRollout(core, writer, activations, SYSTEM_CLOCK);
  seat?.serve(createControl({ readiness, metrics, rollout, revocation, events }));
  const more = moreRoutes(config, revocation, events);
  const ops = seat ? undefined : opsOf({ gate, rollout, readiness, more }, metrics);
  const routes = httpRoutesOf(config, { core, onward, events, around, inFlight, tracing });
  const served = {
    ...services,
    ops,
    http: { clock: SYSTEM_CLOCK, log, routes },
    identity,
  };
  const surfaces = await openSurfaces(config, served, stack, signal);
  state.listening = true;
  events.start();
  stack.use(followReadiness(surfaces.grpc, readiness));
  // Not before, for the core is the start's; what ends earlier is sealed at its end.
  audit.sealer.start();
  return appOf(config, { surfaces, policies: core.policies, readiness, state, seat }, stack.move());
}

interface Warning {
  readonly identity: OwnIdentity | undefined;
  readonly events: EventStreams;
  readonly audit: AuditLog;
  readonly shared: SharedState;
}

function warningsOf({ revocation }: Config, { identity, events, audit, shared }: Warning): () => string[] {
  return () => [
    ...(identity?.warnings() ?? []),
    ...events.warnings(),
    ...auditWarnings(audit),
    ...sharedStateWarnings(shared, revocation.max_lag_ms),
  ];
}

interface Started {
  readonly surfaces: Surfaces;
  readonly policies: PolicySlots;
  readonly readiness: () => Readiness;
  readonly state: { draining: boolean };
  readonly seat: WorkerSeat | undefined;
}

function appOf(
  { shutdown }: Config,
  { surfaces, policies, readiness, state, seat }: Started,
  owned: AsyncDisposableStack,
): App {
  return {
    addresses: addressesOf(surfaces, seat),
    policies,
    readiness,
    async stop() {
      state.draining = true;
      await drainSurfaces(surfaces, shutdown);
      await owned.disposeAsync();
    },
  };
}

/** What the core tells, where it is counted and recorded. */
function countedBy(
  metrics: Metrics,
  revoked: RevocationMetrics,
  activations: ActivationLog,
): Pick<CoreParts, 'onReload' | 'onActivated' | 'onShadow' | 'onAsked' | 'onRevoked'> {
  return {
    onReload: (outcome, slot) => metrics.policyReload(outcome, slot),
    onActivated: (activation) => activations.onActivated(activation),
    onShadow: (outcome) => metrics.shadow(outcome),
    onAsked: (source, ms) => metrics.informationPointAsked(source, ms),
    onRevoked: (lagMs) => revoked.taken(lagMs),
  };
}

interface EventParts {
  readonly core: Core;
  readonly shared: SharedState;
  readonly writer: LogWriter;
  readonly metrics: Metrics;
  readonly log: Log;
}

/** What security events say is put in force by what revokes, and recorded like what administrators do. */
function openEvents(
  config: Config,
  { core, shared, writer, ...around }: EventParts,
  stack: AsyncDisposableStack,
): Promise<EventStreams> {
  const { log } = around;
  const effects = createRecordedEffects({ revocations: core.revocations, writer, log });
  return openEventStreams(
    config.event_streams,
    { ...around, effects, state: shared, issuers: core.issuers, clock: SYSTEM_CLOCK },
    stack,
  );
}

type OpsOwn = Pick<OpsParts, 'gate' | 'rollout' | 'readiness' | 'more'>;

/** What the ops surface of a process by itself shows. */
function opsOf(own: OpsOwn, metrics: Metrics): Omit<OpsParts, 'address' | 'tls'> {
  return { ...own, clock: SYSTEM_CLOCK, metrics: () => exposition(metrics) };
}

/** Revocation in this process. */
function revocationOf(
  { revocations }: Core,
  around: { readonly writer: LogWriter; readonly log: Log },
): RevocationRouteSource {
  return {
    admin: createRevocationAdmin({ ...around, revocations, clock: SYSTEM_CLOCK }),
    isShutOff: ({ id }) => revocations.isShutOff({ kind: 'workload', id }),
  };
}

/** Revocation, for who may; and how it stands with the streams of events, which names nobody. */
function moreRoutes(
  config: Config,
  revocation: RevocationRouteSource,
  events: EventStreams,
): ReadonlyMap<string, readonly Route[]> {
  return new Map<string, readonly Route[]>([
    ...revocationRoutesOf(config, revocation),
    ['/event-streams', [{ method: 'GET', answer: () => json(200, events.report()) }]],
  ]);
}

function addressesOf({ grpc, ops, http }: Surfaces, seat: WorkerSeat | undefined): App['addresses'] {
  const opsAddress = ops?.address ?? seat?.opsAddress ?? '';
  return { grpc: grpc.address, ops: opsAddress, ...(http && { http: http.address }) };
}

async function exposition({ registry }: Metrics): Promise<{ contentType: string; body: string }> {
  return { contentType: registry.contentType, body: await registry.metrics() };
}

interface Deciding {
  readonly core: Core;
  readonly onward: OnwardIdentity | undefined;
}

function servicesOf(config: Config, deciding: Deciding, serving: Serving) {
  const { decisionPoint, policies: snapshots, headerOfToken, applications } = deciding.core;
  const plaintext = isPlaintext('grpc', config.grpc);
  const common = { ...serving, decisionPoint, clock: SYSTEM_CLOCK, plaintext };
  return {
    service: serviceOf(config, deciding, serving),
    decisions: createDecisionService(config, { ...common, snapshots, headerOfToken, applications }),
  };
}

function serviceOf(config: Config, { core, onward }: Deciding, serving: Serving): ExtAuthzService {
  const { timeout_ms: timeoutMs, realm, faults_as_error: faultsAsError } = config.decision;
  return new ExtAuthzService({
    decisionPoint: core.decisionPoint,
    clock: SYSTEM_CLOCK,
    types: loadExtAuthzTypes(),
    encoding: { realm, faultsAsError, ...dpopOf(config) },
    ...(onward && { onward }),
    plaintext: isPlaintext('grpc', config.grpc),
    timeoutMs,
    maxRequestBytes: config.grpc.max_receive_bytes,
    ...serving,
  });
}

/** Absent where it is off. */
function admissionOf({ decision: { overload } }: Config): Admission | undefined {
  const { target_ms: targetMs, interval_ms: intervalMs } = overload;
  return targetMs === 0 ? undefined : new Admission({ targetMs, intervalMs }, SYSTEM_CLOCK);
}

/** What the services of the gRPC surface share. */
interface Serving extends Pick<ExtAuthzParts, 'onEncoded' | 'onFault'> {
  readonly inFlight: InFlight;
}

function reportingOf(metrics: Metrics, log: Logger): Omit<Serving, 'inFlight'> {
  return {
    onEncoded: (microseconds) => metrics.encoded(microseconds),
    onFault: (error) => log.error({ err: error }, 'a check failed in a way that it should not'),
  };
}
