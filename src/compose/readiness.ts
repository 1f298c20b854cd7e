import type { GrpcServer } from '../api/grpc-server.ts';
import type { InFlight } from '../api/in-flight.ts';
import type { OnwardIdentity } from '../api/onward/onward-identity.ts';
import type { Readiness } from '../api/ops/ops.ts';
import type { LogWriter } from '../audit/log/log-writer.ts';
import { type Core, SYSTEM_CLOCK } from './core.ts';
import { policyReadiness } from './rollout.ts';
import type { OwnIdentity } from './svid.ts';
import type { Metrics } from '../telemetry.ts';

/** What readiness is made of. */
export interface ReadinessParts {
  readonly core: Core;
  readonly writer: LogWriter;
  readonly onward: OnwardIdentity | undefined;
  /** Absent where no surface needs it. */
  readonly identity: OwnIdentity | undefined;
  /** Warnings about the sources of identity, whether or not a surface needs one, and about event streams. */
  readonly warnings: () => readonly string[];
}

/**
 * Keys are needed to become ready. An issuer that goes away later is a warning: its tokens are refused, and all that needs no token of
 * it, or has one that is known, is decided as before; every replica at once out of service would help nobody.
 */
export function createReadiness(
  { core, writer, onward, identity, warnings: others }: ReadinessParts,
  state: { readonly draining: boolean; readonly listening: boolean },
): () => Readiness {
  let hadKeys = false;
  return () => {
    const keyless = core.verifier.missingKeys().map((issuer) => `no usable keys of issuer '${issuer}'`);
    const warnings = [...keyless, ...others()];
    const { problems, details } = policyReadiness(core.policies, SYSTEM_CLOCK);
    const all = [...problems];
    if (!hadKeys) all.push(...keyless);
    hadKeys ||= keyless.length === 0;
    // Until then every check is denied; an outage later on is a warning, for every replica has it.
    if (!Number.isFinite(core.revocations.lagMs()))
      all.push('the shared state was never read (shared_state)');
    if (writer.lastError) all.push(`the decision log cannot be written: ${writer.lastError.message}`);
    const unsigned = onward?.problem();
    if (unsigned !== undefined) all.push(unsigned);
    const nobody = identity?.problem();
    if (nobody !== undefined) all.push(nobody);
    if (!state.listening) all.push('the surfaces are not open yet');
    if (state.draining) all.push('shutting down');
    return { ready: all.length === 0, problems: all, warnings, details };
  };
}

const READINESS_POLL_MS = 250;

/** Health clients are told within a quarter of a second of what `/readyz` says. */
export function followReadiness(grpc: GrpcServer, readiness: () => Readiness): Disposable {
  let serving = readiness().ready;
  grpc.setServing(serving);
  const timer = setInterval(() => {
    const { ready } = readiness();
    if (ready !== serving) grpc.setServing(ready);
    serving = ready;
  }, READINESS_POLL_MS).unref();
  return { [Symbol.dispose]: () => clearInterval(timer) };
}

/** The figures that are read when metrics are. */
export function gaugesOf(
  { core: { cache, policies, issuerKeys, sources }, identity }: Pick<ReadinessParts, 'core' | 'identity'>,
  calls: InFlight,
  readiness: () => Readiness,
): Parameters<Metrics['watch']>[0] {
  return {
    inFlight: () => calls.count,
    overload: {
      shed: () => calls.turnedAway,
      shedding: () => calls.admission?.isShedding ?? false,
      waitedMs: () => calls.admission?.waitedMs ?? 0,
    },
    cacheEntries: () => cache.statistics().entries,
    cacheBytes: () => cache.statistics().bytes,
    policies: () => policies.current()?.policyIds.length ?? 0,
    snapshotLoadedAt: () => policies.current()?.loadedAt ?? 0,
    observedRoutes: () => policies.current()?.bindings.observed.length ?? 0,
    ready: () => readiness().ready,
    svidExpiresAt: () => identity?.expiresAt() ?? 0,
    svidsRefused: () => identity?.health().refused ?? 0,
    bundles: () => identity?.health().bundles ?? [],
    issuerKeys: () => issuerKeys,
    informationPoints: () => sources.health(),
    threatLists: () => sources.threatLists(),
  };
}
