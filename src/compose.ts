import { mkdirSync } from 'node:fs';
import type { Logger } from 'pino';
import { ExtAuthzService } from './api/ext-authz/service.ts';
import { type GrpcServer, startGrpcServer } from './api/grpc-server.ts';
import { type Readiness, startOpsServer } from './api/ops.ts';
import { loadExtAuthzTypes } from './api/protos.ts';
import { httpStatusOf } from './api/status.ts';
import { type LogWriter, openLogWriter } from './audit/log-writer.ts';
import { createRecorder } from './audit/recorder.ts';
import type { Config } from './config.ts';
import { ensureDemoIssuer } from './demo-issuer.ts';
import { cedarVersions } from './pdp/cedar.ts';
import { type DecisionPoint, createDecisionPoint } from './pdp/decide.ts';
import { createDecisionCache } from './pdp/decision-cache.ts';
import type { Log } from './pdp/log.ts';
import { PolicyDirectory } from './pdp/policy-directory.ts';
import type { AttributeSource, Clock, Observer, Recorder } from './pdp/ports.ts';
import { cached } from './pip/cached.ts';
import { createDeviceAuthenticator } from './pip/device.ts';
import { type Issuer, createIssuer } from './pip/issuer.ts';
import { type KeySet, createKeySet } from './pip/jwks.ts';
import { openRedisSource } from './pip/redis.ts';
import { openStaticFile } from './pip/static-file.ts';
import { type TokenVerifier, createTokenVerifier } from './pip/token-verifier.ts';
import { createUserAuthenticator } from './pip/user-token.ts';
import { createWorkloadAuthenticator } from './pip/workload.ts';
import { type Metrics, createMetrics, startTracing } from './telemetry.ts';

/** The machine's clock. */
export const SYSTEM_CLOCK: Clock = { now: () => Date.now(), monotonic: () => performance.now() };

/** The deciding part of the process, without a wire or a log. */
export interface Core extends AsyncDisposable {
  readonly decisionPoint: DecisionPoint;
  readonly policies: PolicyDirectory;
  readonly verifier: TokenVerifier;
  readonly cache: ReturnType<typeof createDecisionCache>;
}

/** What the core tells the rest of the process. */
export interface CoreParts {
  readonly recorder: Recorder;
  readonly observer: Observer;
  readonly log: Log;
  readonly onReload?: (outcome: 'loaded' | 'refused') => void;
}

/** Wires identity, information points, policies and cache to a decision point. Throws `InputError` for what people wrote wrong. */
export async function composeCore(config: Config, parts: CoreParts): Promise<Core> {
  await using stack = new AsyncDisposableStack();
  const { log, onReload } = parts;
  const clock = SYSTEM_CLOCK;
  const policies = stack.use(
    new PolicyDirectory({
      folders: config.policies.sets,
      clock,
      log,
      reloadMs: config.policies.reload_ms,
      onReload: (outcome) => onReload?.(outcome),
    }),
  );
  const issuers = config.demo ? [...config.issuers, await ensureDemoIssuer(config)] : config.issuers;
  const verifier = await openVerifier(issuers, log, stack);
  const sources: AttributeSource[] = [];
  for (const pip of config.pips) sources.push(await openSource(pip, log, stack));
  const cache = createDecisionCache(config.decision.cache.max_bytes);
  const decisionPoint = createDecisionPoint({
    clock,
    workload: createWorkloadAuthenticator(),
    user: createUserAuthenticator({ verifier }),
    device: createDeviceAuthenticator({ verifier, header: config.devices.assertion_header }),
    snapshots: policies,
    sources,
    cache,
    maxAgeMs: config.decision.cache.max_age_ms,
    acceptsTokens: issuers.some((issuer) => issuer.use === 'user'),
    recorder: parts.recorder,
    observer: parts.observer,
  });
  const owned = stack.move();
  return { decisionPoint, policies, verifier, cache, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

async function openVerifier(
  issuers: Config['issuers'],
  log: Log,
  stack: AsyncDisposableStack,
): Promise<TokenVerifier> {
  const keySets = new Map<string, KeySet>();
  for (const { name, jwks, refresh_ms: refreshMs, stale_ceiling_ms: staleCeilingMs } of issuers) {
    const keySet = stack.use(
      createKeySet({ name, source: jwks, clock: SYSTEM_CLOCK, refreshMs, staleCeilingMs, log }),
    );
    keySets.set(name, keySet);
  }
  await Promise.all([...keySets.values()].map((keySet) => keySet.start()));
  return createTokenVerifier(issuers.map(issuerOf), keySets, SYSTEM_CLOCK);
}

function issuerOf({ skew_s: skewSeconds, claims, ...issuer }: Config['issuers'][number]): Issuer {
  const { groups, device_id: deviceId, session_id: sessionId, attributes } = claims;
  return createIssuer({
    ...issuer,
    skewSeconds,
    claims: {
      sessionId,
      attributes,
      ...(groups !== undefined && { groups }),
      ...(deviceId !== undefined && { deviceId }),
    },
  });
}

async function openSource(
  pip: Config['pips'][number],
  log: Log,
  stack: AsyncDisposableStack,
): Promise<AttributeSource> {
  const common = {
    name: pip.name,
    subject: pip.subject,
    gives: pip.gives,
    onFailure: pip.on_failure,
    freshMs: pip.fresh_ms,
    clock: SYSTEM_CLOCK,
    log,
  };
  switch (pip.kind) {
    case 'static_file':
      return stack.use(await openStaticFile({ ...common, file: pip.file }));
    case 'redis': {
      const {
        url,
        key_prefix: keyPrefix,
        command_timeout_ms: commandTimeoutMs,
        password_file: passwordFile,
      } = pip;
      const redis = await openRedisSource({
        ...common,
        url,
        keyPrefix,
        commandTimeoutMs,
        ...(passwordFile !== undefined && { passwordFile }),
      });
      const source = stack.use(redis);
      return pip.cache_entries > 0
        ? cached(source, { maxEntries: pip.cache_entries, clock: SYSTEM_CLOCK })
        : source;
    }
  }
}

/** A serving process. */
export interface App {
  /** Where each surface listens. */
  readonly addresses: { readonly grpc: string; readonly ops: string };
  readonly policies: PolicyDirectory;
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
  const writer = stack.use(await openLog(config, log));
  const core = stack.use(
    await composeCore(config, {
      recorder: recorderOf(config, writer),
      observer: observerOf(metrics, tracing?.observer, log),
      log,
      onReload: (outcome) => metrics.policyReload(outcome),
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
  const readiness = () => readinessOf(core, writer, draining);
  metrics.watch({
    inFlight: () => service.inFlight,
    cacheEntries: () => core.cache.statistics().entries,
    cacheBytes: () => core.cache.statistics().bytes,
    policies: () => core.policies.current().policyIds.length,
    snapshotLoadedAt: () => core.policies.current().loadedAt,
    ready: () => readiness().ready,
  });
  stack.use(followReadiness(grpc, readiness));
  const ops = stack.use(
    await startOpsServer({
      address: config.ops.address,
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
    ...(tls && { callers: { trustDomain: tls.trust_domain, allow: tls.allow } }),
    timeoutMs,
    maxInFlight,
    onEncoded: (microseconds) => metrics.encoded(microseconds),
    onFault: (error) => log.error({ err: error }, 'a check failed in a way that it should not'),
  });
}

function tlsOf({ grpc: { tls } }: Config) {
  return tls ? { tls: { certFile: tls.cert_file, keyFile: tls.key_file, caFile: tls.ca_file } } : {};
}

function readinessOf(core: Core, writer: LogWriter, draining: boolean): Readiness {
  const problems = core.verifier.missingKeys().map((issuer) => `no usable keys of issuer '${issuer}'`);
  if (!writer.healthy) problems.push('the decision log cannot be written');
  if (draining) problems.push('shutting down');
  const snapshot = core.policies.current();
  const { refusal } = core.policies;
  return {
    ready: problems.length === 0,
    problems,
    details: {
      snapshot: snapshot.digest,
      policies: snapshot.policyIds.length,
      snapshot_loaded_at: new Date(snapshot.loadedAt).toISOString(),
      ...(refusal !== undefined && { refused_change: refusal }),
    },
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
