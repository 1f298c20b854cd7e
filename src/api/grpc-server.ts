import { readFileSync } from 'node:fs';
import { Server, ServerCredentials } from '@grpc/grpc-js';
import { ReflectionService } from '@grpc/reflection';
import { HealthImplementation } from 'grpc-health-check';
import { type ExtAuthzService, EXT_AUTHZ_SERVICE } from './ext-authz/service.ts';
import { loadPackageDefinition } from './protos.ts';

/** Files of a TLS listener. The CA is that of one trust domain. */
export interface TlsFiles {
  readonly certFile: string;
  readonly keyFile: string;
  readonly caFile: string;
}

/** How the gRPC surface listens. */
export interface GrpcServerOptions {
  /** `host:port`; port 0 picks a free one. */
  readonly address: string;
  /** Absent: plaintext, which configuration demands to be said explicitly. */
  readonly tls?: TlsFiles;
  readonly maxReceiveBytes: number;
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

const SERVICES = ['', 'envoy.service.auth.v3.Authorization'];

/** Binds the gRPC surface: ext_authz, `grpc.health.v1` and reflection. Rejects where the address or the TLS files cannot be used. */
export async function startGrpcServer(
  service: ExtAuthzService,
  options: GrpcServerOptions,
): Promise<GrpcServer> {
  const server = new Server({
    // What is too long is to be denied and recorded, so the transport lets more pass than is decided on. What it cuts is an RPC error.
    'grpc.max_receive_message_length': 4 * options.maxReceiveBytes,
    interceptors: [service.interceptor],
  });
  server.addService(EXT_AUTHZ_SERVICE, service.handlers);
  const health = new HealthImplementation(Object.fromEntries(SERVICES.map((name) => [name, 'NOT_SERVING'])));
  health.addToServer(server);
  new ReflectionService(loadPackageDefinition()).addToServer(server);
  const host = options.address.slice(0, options.address.lastIndexOf(':'));
  const port = await bind(server, options);
  return {
    address: `${host}:${port}`,
    setServing(serving) {
      for (const name of SERVICES) health.setStatus(name, serving ? 'SERVING' : 'NOT_SERVING');
    },
    async stop(graceMs) {
      const watchdog = setTimeout(() => server.forceShutdown(), graceMs);
      await new Promise<void>((resolve) => server.tryShutdown(() => resolve()));
      clearTimeout(watchdog);
    },
  };
}

function bind(server: Server, { address, tls }: GrpcServerOptions): Promise<number> {
  const credentials = tls ? tlsCredentials(tls) : ServerCredentials.createInsecure();
  return new Promise((resolve, reject) => {
    server.bindAsync(address, credentials, (error, port) => (error ? reject(error) : resolve(port)));
  });
}

function tlsCredentials({ caFile, certFile, keyFile }: TlsFiles): ServerCredentials {
  const pair = { cert_chain: readFileSync(certFile), private_key: readFileSync(keyFile) };
  return ServerCredentials.createSsl(readFileSync(caFile), [pair], true);
}
