import type { DecisionService } from '../api/decision-service/service.ts';
import type { ExtAuthzService } from '../api/ext-authz/service.ts';
import { type GrpcServer, startGrpcServer } from '../api/grpc-server.ts';
import type { HttpListener } from '../api/http/http-listener.ts';
import { type HttpServerParts, startHttpServer } from '../api/http/http-server.ts';
import { type OpsParts, startOpsServer } from '../api/ops/ops.ts';
import type { TlsSettings } from '../api/tls/tls-listener.ts';
import type { OwnIdentity } from './svid.ts';
import { SURFACES, isPlaintext } from '../config/surfaces.ts';
import type { Config } from '../config.ts';
import { createSpiffeMatcher } from '../pip/spiffe/spiffe-matcher.ts';

/** What is served on each surface. */
export interface Served {
  readonly service: ExtAuthzService;
  readonly decisions: DecisionService;
  readonly http: Pick<HttpServerParts, 'clock' | 'log' | 'routes'>;
  /** Absent in a worker: the primary serves it. */
  readonly ops: Omit<OpsParts, keyof Listening> | undefined;
  readonly identity: OwnIdentity | undefined;
}

/** The surfaces, bound. */
export interface Surfaces {
  readonly grpc: GrpcServer;
  /** Absent where nothing is served on it. */
  readonly http?: HttpListener;
  readonly ops?: HttpListener;
}

/** How a surface listens, as configured. */
export interface Listening {
  readonly address: string;
  readonly tls?: TlsSettings;
}

/** Names of the surfaces that take any caller, by choice. */
export function plaintextSurfaces(config: Config): readonly (typeof SURFACES)[number][] {
  return SURFACES.filter((name) => isPlaintext(name, config[name]));
}

/** Whether every question on the gRPC surface is denied, whoever asks it: nobody is on any of its lists. */
export function nobodyMayAsk({ grpc, check }: Config): boolean {
  const { callers, explain } = check;
  const listed = [grpc.allow, callers, explain.allow, explain.applications];
  return !isPlaintext('grpc', grpc) && listed.every(({ length }) => length === 0);
}

/**
 * Binds the surfaces; `stack` closes them. Those over mutual TLS wait until we hold an SVID; a plaintext ops surface does not, so that
 * readiness can say what is waited for. Rejects where one cannot be bound, or when `signal` is aborted while waiting.
 */
export async function openSurfaces(
  config: Config,
  served: Served,
  stack: AsyncDisposableStack,
  signal: AbortSignal | undefined,
): Promise<Surfaces> {
  const { identity, ops: parts } = served;
  const on = (name: (typeof SURFACES)[number]) => listeningOf(name, config, identity);
  const openOps = async () => parts && stack.use(await startOpsServer({ ...parts, ...on('ops') }));
  const early = isPlaintext('ops', config.ops) ? await openOps() : undefined;
  if (plaintextSurfaces(config).length < SURFACES.length) await identity?.held(signal);
  const grpc = await startGrpcServer(served.service, {
    ...on('grpc'),
    maxReceiveBytes: config.grpc.max_receive_bytes,
    decisions: served.decisions,
  });
  stack.defer(() => grpc.stop(config.shutdown.grace_ms));
  const http = await startHttpServer({
    ...served.http,
    ...on('http'),
    maxBodyBytes: config.http.max_body_bytes,
  });
  if (http) stack.use(http);
  const ops = early ?? (await openOps());
  return { grpc, ...(http && { http }), ...(ops && { ops }) };
}

/** Has callers go elsewhere, then takes no new calls and lets those under way finish. The ops surface goes on, to say so. */
export async function drainSurfaces({ grpc, http }: Surfaces, shutdown: Config['shutdown']): Promise<void> {
  const { lag_ms: lagMs, grace_ms: graceMs } = shutdown;
  grpc.setServing(false);
  await new Promise((resolve) => setTimeout(resolve, lagMs));
  await Promise.all([grpc.stop(graceMs), http?.drain(graceMs)]);
}

/** Where a surface listens, and over mutual TLS for whom. */
export function listeningOf(
  name: (typeof SURFACES)[number],
  config: Config,
  identity: OwnIdentity | undefined,
): Listening {
  const { address, allow, max_connection_age_s: age } = config[name];
  if (isPlaintext(name, config[name])) return { address };
  // The configuration is refused without `spiffe`; a surface must not be plaintext because something else was forgotten.
  if (!identity) throw new Error(`the ${name} surface has no identity for mutual TLS`);
  const matcher = createSpiffeMatcher(allow);
  const allows: TlsSettings['allows'] = (caller) => matcher.matches(caller);
  return { address, tls: { trust: identity.trust, allows, maxConnectionAgeMs: age * 1000 } };
}
