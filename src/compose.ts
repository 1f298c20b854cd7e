import type { Logger } from 'pino';
import { type ExtAuthzParts, ExtAuthzService } from './api/ext-authz/service.ts';
import { InFlight } from './api/in-flight.ts';
import type { HttpRoutes } from './api/http/http-server.ts';
import { keySetRoutes } from './api/http/key-set.ts';
import type { OnwardIdentity } from './api/onward/onward-identity.ts';
import { openGate } from './api/ops/ops-admin.ts';
import { type Route, json } from './api/ops/ops-route.ts';
import type { Readiness } from './api/ops/ops.ts';
import { loadExtAuthzTypes } from './api/protos.ts';
import type { LogWriter } from './audit/log/log-writer.ts';
import { type Core, type CoreParts, SYSTEM_CLOCK, composeCore } from './compose/core.ts';
import { openAuditLog } from './compose/audit.ts';
import { auditWarnings, watchAuditLog } from './compose/audit-watch.ts';
import { authzenOf } from './compose/authzen.ts';
import { createDecisionService } from './compose/check.ts';
import { grantRoutesOf } from './compose/grants.ts';
import { type EventStreams, openEventStreams } from './compose/event-streams.ts';
import { openOnwardIdentity } from './compose/onward.ts';
import { type ActivationLog, createActivationLog, createRollout } from './compose/rollout.ts';
import { createRecordedEffects, revocationRoutesOf } from './compose/revocation-admin.ts';
import { createReadiness, followReadiness, gaugesOf } from './compose/readiness.ts';
import { type OpenedSharedState, openSharedState, sharedStateWarnings } from './compose/shared-state.ts';
import { type Surfaces, drainSurfaces, openSurfaces, plaintextSurfaces } from './compose/surfaces.ts';
import { openIdentity } from './compose/svid.ts';
import { LOOPBACK } from './config/rules.ts';
import { SURFACES, isPlaintext } from './config/surfaces.ts';
import type { Config } from './config.ts';
import type { PolicySlots } from './pdp/policy-slots.ts';
import type { Log } from './pdp/log.ts';
import type { Observer } from './pdp/ports.ts';
import type { SharedState } from './pdp/shared-state.ts';
import { createRefusedEvidenceLog } from './refused-evidence-log.ts';
import { type Metrics, type Tracing, createMetrics, startTracing } from './telemetry.ts';
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
 * while we wait for an SVID of our own.
 */
export async function startApp(config: Config, log: Logger, signal?: AbortSignal): Promise<App> {
  await using stack = new AsyncDisposableStack();
  const metrics = createMetrics();
  const revoked = createRevocationMetrics([metrics.registry]);
  const tracing = await openTracing(config.telemetry, stack);
  const gate = openGate(config.ops.admin_token_file, LOOPBACK.test(config.ops.address));
  const audit = await openAuditLog(config, log, stack);
  const { writer, recorder } = audit;
  watchAuditLog(audit, [metrics.registry]);
  const activations = createActivationLog(writer, log);
  const identity = await openIdentity(config.spiffe, { clock: SYSTEM_CLOCK, log, metrics }, stack);
  const shared = await openState(config.shared_state, { log, metrics }, stack);
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
  const inFlight = new InFlight(config.decision.max_in_flight);
  const services = servicesOf(config, { core, onward }, { inFlight, ...reportingOf(metrics, log) });
  const state = { draining: false, listening: false };
  const needed = plaintextSurfaces(config).length < SURFACES.length ? identity : undefined;
  const warnings = () => [
    ...(identity?.warnings() ?? []),
    ...events.warnings(),
    ...auditWarnings(audit),
    ...sharedStateWarnings(shared, config.revocation.max_lag_ms),
  ];
  const readiness = createReadiness({ core, writer, onward, identity: needed, warnings }, state);
  metrics.watch(gaugesOf({ core, identity }, inFlight, readiness));
  revoked.watch(core.revocations);
  const around = { clock: SYSTEM_CLOCK, log, writer, metrics, ...dpopOf(config) };
  const ops = {
    clock: SYSTEM_CLOCK,
    gate,
    rollout: createRollout(core, writer, activations, SYSTEM_CLOCK),
    readiness,
    metrics: () => exposition(metrics),
    more: moreRoutes(config, core, events, around),
  };
  const routes = [
    ...keySetOf(config, onward),
    ...authzenOf(config, core, { inFlight, writer, observers: [metrics, tracing] }),
    ...grantRoutesOf(config, core, around),
    ...events.routes,
  ];
  const served = { ...services, ops, http: { clock: SYSTEM_CLOCK, log, routes }, identity };
  const surfaces = await openSurfaces(config, served, stack, signal);
  state.listening = true;
  events.start();
  stack.use(followReadiness(surfaces.grpc, readiness));
  return appOf(config, { surfaces, policies: core.policies, readiness, state }, stack.move());
}

interface Started {
  readonly surfaces: Surfaces;
  readonly policies: PolicySlots;
  readonly readiness: () => Readiness;
  readonly state: { draining: boolean };
}

function appOf(
  { shutdown }: Config,
  { surfaces, policies, readiness, state }: Started,
  owned: AsyncDisposableStack,
): App {
  return {
    addresses: addressesOf(surfaces),
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

/** Revocation, for who may; and how it stands with the streams of events, which names nobody. */
function moreRoutes(
  config: Config,
  { revocations }: Core,
  events: EventStreams,
  around: { readonly writer: LogWriter; readonly log: Log },
): ReadonlyMap<string, readonly Route[]> {
  return new Map<string, readonly Route[]>([
    ...revocationRoutesOf(config, { ...around, revocations, clock: SYSTEM_CLOCK }),
    ['/event-streams', [{ method: 'GET', answer: () => json(200, events.report()) }]],
  ]);
}

/** The state that replicas share, measured. */
async function openState(
  config: Config['shared_state'],
  { log, metrics }: { readonly log: Log; readonly metrics: Metrics },
  stack: AsyncDisposableStack,
): Promise<OpenedSharedState> {
  const shared = await openSharedState(
    config,
    {
      clock: SYSTEM_CLOCK,
      log,
      onChanges: (count, origin) => metrics.sharedStateChanged(count, origin),
      onResync: (cause) => metrics.sharedStateResynced(cause),
    },
    stack,
  );
  metrics.watchSharedState(shared);
  return shared;
}

async function openTracing(
  { otlp_url: otlpUrl, service_name: serviceName }: Config['telemetry'],
  stack: AsyncDisposableStack,
): Promise<Tracing | undefined> {
  const tracing = await startTracing({ otlpUrl, serviceName });
  return tracing && stack.use(tracing);
}

function addressesOf({ grpc, ops, http }: Surfaces): App['addresses'] {
  return { grpc: grpc.address, ops: ops.address, ...(http && { http: http.address }) };
}

async function exposition({ registry }: Metrics): Promise<{ contentType: string; body: string }> {
  return { contentType: registry.contentType, body: await registry.metrics() };
}

/** Backends may cache the keys for as long as a new one is published before it signs. */
function keySetOf(
  { onward_identity: onwardConfig }: Config,
  onward: OnwardIdentity | undefined,
): readonly HttpRoutes[] {
  if (!onward || !onwardConfig) return [];
  return [keySetRoutes({ document: () => onward.jwks(), maxAgeS: onwardConfig.keys.publish_ahead_s })];
}

function observerOf(others: readonly Observer[], log: Logger, stack: AsyncDisposableStack): Observer {
  const refusals = stack.use(createRefusedEvidenceLog({ clock: SYSTEM_CLOCK, log }));
  const observers = [...others, refusals];
  return {
    checked(trace) {
      for (const other of observers) other.checked(trace);
      const { id, decision, stage } = trace;
      if (!log.isLevelEnabled('debug')) return;
      log.debug(
        {
          decision_id: id,
          decision: decision.verdict,
          reason: decision.reason,
          stage,
          policies: decision.policies,
        },
        'check',
      );
    },
  };
}

interface Deciding {
  readonly core: Core;
  readonly onward: OnwardIdentity | undefined;
}

/** Proofs can only be checked against origins that are configured. */
function dpopOf({ tokens: { dpop } }: Config): { readonly dpopAlgorithms?: readonly string[] } {
  return Object.keys(dpop.origins).length === 0 ? {} : { dpopAlgorithms: dpop.algorithms };
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
