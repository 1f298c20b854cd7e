import { mkdirSync } from 'node:fs';
import type { Logger } from 'pino';
import { ExtAuthzService } from './api/ext-authz/service.ts';
import { type GrpcServer, startGrpcServer } from './api/grpc-server.ts';
import { openGate } from './api/ops-admin.ts';
import { type Readiness, startOpsServer } from './api/ops.ts';
import { loadExtAuthzTypes } from './api/protos.ts';
import { httpStatusOf } from './api/status.ts';
import { type LogWriter, openLogWriter } from './audit/log-writer.ts';
import { createRecorder } from './audit/recorder.ts';
import { type Core, SYSTEM_CLOCK, composeCore } from './compose-core.ts';
import { createActivationLog, createRollout, policyReadiness } from './compose-rollout.ts';
import { LOOPBACK } from './config-rules.ts';
import type { Config } from './config.ts';
import type { WorkloadIdentity } from './pdp/identity.ts';
import type { PolicySlots } from './pdp/policy-slots.ts';
import type { Observer, Recorder } from './pdp/ports.ts';
import { cedarVersions } from './pdp/cedar.ts';
import { parseSpiffeId } from './pip/spiffe-id.ts';
import { type Metrics, createMetrics, startTracing } from './telemetry.ts';

/** A serving process. */
export interface App {
  /** Where each surface listens. */
  readonly addresses: { readonly grpc: string; readonly ops: string };
  readonly policies: PolicySlots;
  readiness(): Readiness;
  /** Stops in order: readiness falls, calls finish, the log is closed, the rest is let go. */
  stop(): Promise<void>;
}

/** Starts everything that `pdp serve` serves. Rejects, with nothing left running, where any part cannot start. */
export async function startApp(config: Config, log: Logger): Promise<App> {
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
  const core = stack.use(
    await composeCore(config, {
      recorder: recorderOf(config, writer),
      observer: observerOf(metrics, tracing?.observer, log),
      log,
      onReload: (outcome, slot) => metrics.policyReload(outcome, slot),
      onActivated: (activation) => activations.onActivated(activation),
      onShadow: (outcome) => metrics.shadow(outcome),
    }),
  );
  const service = serviceOf(config, core, metrics, log);
  const grpc = await startGrpcServer(service, {
    address: config.grpc.address,
    maxReceiveBytes: config.grpc.max_receive_bytes,
    ...tlsOf(config),
  });
  stack.defer(() => grpc.stop(config.shutdown.grace_ms));
  let draining = false;
  const readiness = createReadiness(core, writer, () => draining);
  metrics.watch(gaugesOf(core, service, readiness));
  stack.use(followReadiness(grpc, readiness));
  const ops = stack.use(
    await startOpsServer({
      address: config.ops.address,
      gate,
      rollout: createRollout(core, writer, activations, SYSTEM_CLOCK),
      readiness,
      metrics: async () => ({
        contentType: metrics.registry.contentType,
        body: await metrics.registry.metrics(),
      }),
    }),
  );
  const owned = stack.move();
  return {
    addresses: { grpc: grpc.address, ops: ops.address },
    policies: core.policies,
    readiness,
    async stop() {
      draining = true;
      grpc.setServing(false);
      await new Promise((resolve) => setTimeout(resolve, config.shutdown.lag_ms));
      await grpc.stop(config.shutdown.grace_ms);
      await owned.disposeAsync();
    },
  };
}

function gaugesOf(
  { cache, policies }: Core,
  service: ExtAuthzService,
  readiness: () => Readiness,
): Parameters<Metrics['watch']>[0] {
  return {
    inFlight: () => service.inFlight,
    cacheEntries: () => cache.statistics().entries,
    cacheBytes: () => cache.statistics().bytes,
    policies: () => policies.current()?.policyIds.length ?? 0,
    snapshotLoadedAt: () => policies.current()?.loadedAt ?? 0,
    observedRoutes: () => policies.current()?.bindings.observed.length ?? 0,
    ready: () => readiness().ready,
  };
}

async function openLog(config: Config, logger: Logger): Promise<LogWriter> {
  const { dir, log, durability, segment_bytes: segmentBytes } = config.audit;
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  return await openLogWriter({ dir, log, durability, segmentBytes, clock: SYSTEM_CLOCK, logger });
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

function observerOf(metrics: Metrics, traces: Observer | undefined, log: Logger): Observer {
  return {
    checked(trace) {
      metrics.checked(trace);
      traces?.checked(trace);
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

function serviceOf(config: Config, core: Core, metrics: Metrics, log: Logger): ExtAuthzService {
  const {
    timeout_ms: timeoutMs,
    max_in_flight: maxInFlight,
    realm,
    faults_as_error: faultsAsError,
  } = config.decision;
  const { tls } = config.grpc;
  return new ExtAuthzService({
    decisionPoint: core.decisionPoint,
    clock: SYSTEM_CLOCK,
    types: loadExtAuthzTypes(),
    encoding: { realm, faultsAsError },
    ...(tls && { callers: { trustDomain: tls.trust_domain, allow: tls.allow, parse: readSpiffeId } }),
    timeoutMs,
    maxInFlight,
    maxRequestBytes: config.grpc.max_receive_bytes,
    onEncoded: (microseconds) => metrics.encoded(microseconds),
    onFault: (error) => log.error({ err: error }, 'a check failed in a way that it should not'),
  });
}

function readSpiffeId(text: string): WorkloadIdentity | undefined {
  const identity = parseSpiffeId(text);
  return 'invalid' in identity ? undefined : identity;
}

function tlsOf({ grpc: { tls } }: Config) {
  return tls ? { tls: { certFile: tls.cert_file, keyFile: tls.key_file, caFile: tls.ca_file } } : {};
}

/**
 * Keys are needed to become ready. An issuer that goes away later is a warning: its tokens are refused, and all that needs no token of
 * it, or has one that is known, is decided as before; every replica at once out of service would help nobody.
 */
function createReadiness(core: Core, writer: LogWriter, draining: () => boolean): () => Readiness {
  let hadKeys = false;
  return () => {
    const warnings = core.verifier.missingKeys().map((issuer) => `no usable keys of issuer '${issuer}'`);
    const { problems, details } = policyReadiness(core.policies, SYSTEM_CLOCK);
    const all = [...problems];
    if (!hadKeys) all.push(...warnings);
    hadKeys ||= warnings.length === 0;
    if (!writer.healthy) all.push('the decision log cannot be written');
    if (draining()) all.push('shutting down');
    return { ready: all.length === 0, problems: all, warnings, details };
  };
}

const READINESS_POLL_MS = 250;

/** Health clients are told within a quarter of a second of what `/readyz` says. */
function followReadiness(grpc: GrpcServer, readiness: () => Readiness): Disposable {
  let serving = readiness().ready;
  grpc.setServing(serving);
  const timer = setInterval(() => {
    const { ready } = readiness();
    if (ready !== serving) grpc.setServing(ready);
    serving = ready;
  }, READINESS_POLL_MS).unref();
  return { [Symbol.dispose]: () => clearInterval(timer) };
}
