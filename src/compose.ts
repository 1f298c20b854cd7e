import { mkdirSync } from 'node:fs';
import type { Logger } from 'pino';
import { type ExtAuthzParts, ExtAuthzService } from './api/ext-authz/service.ts';
import { InFlight } from './api/in-flight.ts';
import type { HttpRoutes } from './api/http/http-server.ts';
import { keySetRoutes } from './api/http/key-set.ts';
import type { OnwardIdentity } from './api/onward/onward-identity.ts';
import { openGate } from './api/ops/ops-admin.ts';
import type { Readiness } from './api/ops/ops.ts';
import { loadExtAuthzTypes } from './api/protos.ts';
import { httpStatusOf } from './api/status.ts';
import { type LogWriter, openLogWriter } from './audit/log-writer.ts';
import { createRecorder } from './audit/recorder.ts';
import { type Core, SYSTEM_CLOCK, composeCore } from './compose/core.ts';
import { createDecisionService } from './compose/check.ts';
import { openOnwardIdentity } from './compose/onward.ts';
import { createActivationLog, createRollout } from './compose/rollout.ts';
import { createReadiness, followReadiness, gaugesOf } from './compose/readiness.ts';
import { type Surfaces, openSurfaces, plaintextSurfaces } from './compose/surfaces.ts';
import { openIdentity } from './compose/svid.ts';
import { LOOPBACK } from './config/rules.ts';
import { SURFACES, isPlaintext } from './config/surfaces.ts';
import type { Config } from './config.ts';
import type { PolicySlots } from './pdp/policy-slots.ts';
import type { Observer, Recorder } from './pdp/ports.ts';
import { cedarVersions } from './pdp/cedar.ts';
import { createRefusedEvidenceLog } from './refused-evidence-log.ts';
import { type Metrics, createMetrics, startTracing } from './telemetry.ts';

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
  const tracing = await startTracing({
    otlpUrl: config.telemetry.otlp_url,
    serviceName: config.telemetry.service_name,
  });
  if (tracing) stack.use(tracing);
  const gate = openGate(config.ops.admin_token_file, LOOPBACK.test(config.ops.address));
  const writer = stack.use(await openLog(config, log));
  const activations = createActivationLog(writer, log);
  const identity = await openIdentity(config.spiffe, { clock: SYSTEM_CLOCK, log, metrics }, stack);
  const core = stack.use(
    await composeCore(config, {
      recorder: recorderOf(config, writer),
      observer: observerOf([metrics, ...(tracing ? [tracing.observer] : [])], log, stack),
      log,
      ...(identity && { bundles: () => identity.trust.svids.state.bundles }),
      onReload: (outcome, slot) => metrics.policyReload(outcome, slot),
      onActivated: (activation) => activations.onActivated(activation),
      onShadow: (outcome) => metrics.shadow(outcome),
    }),
  );
  const onward = await openOnwardIdentity(config.onward_identity, { clock: SYSTEM_CLOCK, log }, stack);
  const inFlight = new InFlight(config.decision.max_in_flight);
  const services = servicesOf(config, { core, onward }, { inFlight, ...reportingOf(metrics, log) });
  const state = { draining: false, listening: false };
  const needed = plaintextSurfaces(config).length < SURFACES.length ? identity : undefined;
  const readiness = createReadiness(
    { core, writer, onward, identity: needed, ...(identity && { trustWarnings: () => identity.warnings() }) },
    state,
  );
  metrics.watch(gaugesOf({ core, identity }, inFlight, readiness));
  const ops = {
    clock: SYSTEM_CLOCK,
    gate,
    rollout: createRollout(core, writer, activations, SYSTEM_CLOCK),
    readiness,
    metrics: () => exposition(metrics),
  };
  const http = { clock: SYSTEM_CLOCK, log, routes: keySetOf(config, onward) };
  const surfaces = await openSurfaces(config, { ...services, ops, http, identity }, stack, signal);
  const { grpc } = surfaces;
  state.listening = true;
  stack.use(followReadiness(grpc, readiness));
  const owned = stack.move();
  const { policies } = core;
  return {
    addresses: addressesOf(surfaces),
    policies,
    readiness,
    async stop() {
      state.draining = true;
      grpc.setServing(false);
      await new Promise((resolve) => setTimeout(resolve, config.shutdown.lag_ms));
      await grpc.stop(config.shutdown.grace_ms);
      await owned.disposeAsync();
    },
  };
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

async function openLog(config: Config, logger: Logger): Promise<LogWriter> {
  const { dir, log, durability, segment_bytes: segmentBytes } = config.audit;
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  const plaintext = plaintextSurfaces(config);
  return await openLogWriter({ dir, log, durability, segmentBytes, plaintext, clock: SYSTEM_CLOCK, logger });
}

function recorderOf(config: Config, writer: LogWriter): Recorder {
  const { cluster, region } = config.telemetry;
  const { engine, language } = cedarVersions();
  return createRecorder({
    writer,
    onFailure: config.audit.on_failure,
    httpStatus: httpStatusOf,
    cluster: cluster === '' ? undefined : cluster,
    region: region === '' ? undefined : region,
    engine: `cedar/${engine} language/${language}`,
  });
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
  const { decisionPoint, policies: snapshots, headerOfToken } = deciding.core;
  const plaintext = isPlaintext('grpc', config.grpc);
  const common = { ...serving, decisionPoint, clock: SYSTEM_CLOCK, plaintext };
  return {
    service: serviceOf(config, deciding, serving),
    decisions: createDecisionService(config, { ...common, snapshots, headerOfToken }),
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
