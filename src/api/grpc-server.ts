import type { TLSSocket } from 'node:tls';
import { Server, ServerCredentials } from '@grpc/grpc-js';
import { HealthImplementation } from 'grpc-health-check';
import { DECISION_SERVICE } from './decision-service/definition.ts';
import type { DecisionService } from './decision-service/service.ts';
import { type ExtAuthzService, EXT_AUTHZ_SERVICE } from './ext-authz/service.ts';
import { addReflection } from './reflection.ts';
import { UnaryStreams } from './ext-authz/unary-streams.ts';
import { type TlsListener, type TlsSettings, startTlsListener } from './tls/tls-listener.ts';
import { interceptUnheard } from './unheard-calls.ts';

/** How the gRPC surface listens. */
export interface GrpcServerOptions {
  /** `host:port`; port 0 picks a free one. */
  readonly address: string;
  /** Absent: plaintext, which configuration demands to be said explicitly. */
  readonly tls?: TlsSettings;
  readonly maxReceiveBytes: number;
  /** Serves applications beside the PEPs. */
  readonly decisions: Pick<DecisionService, 'handlers' | 'unheard'>;
}

/** A bound gRPC server. */
export interface GrpcServer {
  /** `host:port` as bound. */
  readonly address: string;
  /** Tells health clients, `Watch`ers included, whether we serve. */
  setServing(serving: boolean): void;
  /** Stops taking connections, lets calls finish for `graceMs`, then cuts. */
  stop(graceMs: number): Promise<void>;
}

/** Calls of one connection at once. Whoever needs more opens another one. */
const MAX_STREAMS = 1000;

/** What names a service or a symbol has room in it. */
const MAX_UNRECORDED_BYTES = 4096;

/** How long a client of reflection may keep us waiting for its next question, in ms. */
const REFLECTION_IDLE_MS = 60_000;

const SERVICES = ['', 'envoy.service.auth.v3.Authorization', 'pdp.v1.DecisionService'];

/**
 * Binds the gRPC surface: ext_authz, the decision service, `grpc.health.v1` and reflection, over mutual TLS or in plaintext. Rejects where the address
 * cannot be bound, and as {@link startTlsListener} does.
 */
export async function startGrpcServer(
  service: ExtAuthzService,
  options: GrpcServerOptions,
): Promise<GrpcServer> {
  const server = new Server({
    // What is too long is to be denied and recorded, so the transport lets more pass than is decided on. What it cuts is an RPC error.
    'grpc.max_receive_message_length': 4 * options.maxReceiveBytes,
    'grpc.max_concurrent_streams': MAX_STREAMS,
    interceptors: [
      interceptUnheard([service.unheard, options.decisions.unheard], {
        timeoutMs: service.unheard.timeoutMs,
        idleMs: REFLECTION_IDLE_MS,
        maxBytes: MAX_UNRECORDED_BYTES,
      }),
    ],
  });
  server.addService(EXT_AUTHZ_SERVICE, service.handlers);
  server.addService(DECISION_SERVICE, options.decisions.handlers);
  const health = new HealthImplementation(Object.fromEntries(SERVICES.map((name) => [name, 'NOT_SERVING'])));
  health.addToServer(server);
  addReflection(server);
  const checks = new UnaryStreams(service.unary);
  const { address, listener } = await bind(server, options, () => checks.take(server));
  return {
    address,
    setServing(serving) {
      for (const name of SERVICES) health.setStatus(name, serving ? 'SERVING' : 'NOT_SERVING');
    },
    async stop(graceMs) {
      listener?.refuseNew();
      const watchdog = setTimeout(() => server.forceShutdown(), graceMs);
      await new Promise<void>((resolve) => server.tryShutdown(() => resolve()));
      clearTimeout(watchdog);
      await listener?.[Symbol.asyncDispose]();
    },
  };
}

async function bind(
  server: Server,
  { address, tls }: GrpcServerOptions,
  onListening: () => void,
): Promise<{ readonly address: string; readonly listener?: TlsListener }> {
  if (!tls) {
    const bound = await bindPlaintext(server, address);
    onListening();
    return { address: bound };
  }
  const accept = (socket: TLSSocket) => {
    // One injector for each connection: it is how a single one can be told to go away.
    const injector = server.createConnectionInjector(ServerCredentials.createInsecure());
    onListening();
    socket.once('close', () => injector.destroy());
    injector.injectConnection(socket);
    return { retire: (graceMs: number) => injector.drain(graceMs) };
  };
  const listener = await startTlsListener({ surface: 'grpc', address, protocol: 'h2', ...tls, accept });
  return { address: listener.address, listener };
}

async function bindPlaintext(server: Server, address: string): Promise<string> {
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync(address, ServerCredentials.createInsecure(), (error, bound) =>
      error ? reject(error) : resolve(bound),
    );
  });
  return `${address.slice(0, address.lastIndexOf(':'))}:${port}`;
}
