import { X509Certificate, createPrivateKey } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  Server,
  ServerCredentials,
  type ServerWritableStream,
  type ServiceDefinition,
  status,
} from '@grpc/grpc-js';
import {
  type SvidMessage,
  type WorkloadApiMessages,
  loadWorkloadApi,
} from '../../src/pip/spiffe/workload-api/workload-api-client.ts';
import type { Leaf } from './test-ca.ts';

type Call = keyof WorkloadApiMessages;

/** A Workload API over a Unix socket that says what a test has it say. Refuses calls without the header, as the standard has it. */
export interface WorkloadApiServer extends AsyncDisposable {
  /** `unix:///path/to/socket`. */
  readonly endpoint: string;
  /** How many streams of a call were opened. */
  opened(call: Call): number;
  /** Calls that came without `workload.spiffe.io: true`. */
  readonly withoutHeader: number;
  /** Sends a message on all open streams of a call, and first on those to come. */
  send<C extends Call>(call: C, message: Partial<WorkloadApiMessages[C]>): void;
  /** Ends all open streams of a call, and those to come, with a gRPC status. */
  refuse(call: Call, code: status): void;
  /** Cuts everything and stops listening. */
  die(): Promise<void>;
  /** Listens again on the same socket. */
  revive(): Promise<void>;
}

/** Starts a Workload API that has nothing to say yet. */
export async function startWorkloadApi(): Promise<WorkloadApiServer> {
  const folder = await mkdtemp(join(tmpdir(), 'pdp-workload-api-'));
  const endpoint = `unix://${join(folder, 'api.sock')}`;
  const service = loadWorkloadApi();
  const calls: Record<Call, StreamBook> = {
    FetchX509SVID: new StreamBook(),
    FetchX509Bundles: new StreamBook(),
    FetchJWTBundles: new StreamBook(),
  };
  let withoutHeader = 0;
  const handle = (call: Call) => (stream: Stream) => {
    if (stream.metadata.get('workload.spiffe.io').join() === 'true') return calls[call].open(stream);
    withoutHeader += 1;
    stream.emit('error', { code: status.INVALID_ARGUMENT, details: 'security header missing from request' });
  };
  let server = await listen(endpoint, service, handle);
  return {
    endpoint,
    opened: (call) => calls[call].opened,
    get withoutHeader() {
      return withoutHeader;
    },
    send: (call, message) => calls[call].send(message),
    refuse: (call, code) => calls[call].refuse(code),
    async die() {
      server.forceShutdown();
    },
    async revive() {
      server = await listen(endpoint, service, handle);
    },
    async [Symbol.asyncDispose]() {
      server.forceShutdown();
      await rm(folder, { recursive: true, force: true, maxRetries: 20 });
    },
  };
}

type Stream = ServerWritableStream<object, object>;

class StreamBook {
  opened = 0;
  #streams = new Set<Stream>();
  #message: object | undefined;
  #refusal: status | undefined;

  open(stream: Stream): void {
    this.opened += 1;
    if (this.#refusal !== undefined) return fail(stream, this.#refusal);
    this.#streams.add(stream);
    stream.on('cancelled', () => this.#streams.delete(stream));
    stream.on('close', () => this.#streams.delete(stream));
    if (this.#message) stream.write(this.#message);
  }

  send(message: object): void {
    this.#message = message;
    this.#refusal = undefined;
    for (const stream of this.#streams) stream.write(message);
  }

  refuse(code: status): void {
    this.#refusal = code;
    for (const stream of this.#streams) fail(stream, code);
    this.#streams.clear();
  }
}

function fail(stream: Stream, code: status): void {
  stream.emit('error', { code, details: 'as the test asked' });
}

async function listen(
  endpoint: string,
  service: ServiceDefinition,
  handle: (call: Call) => (stream: Stream) => void,
): Promise<Server> {
  const server = new Server();
  server.addService(service, {
    FetchX509SVID: handle('FetchX509SVID'),
    FetchX509Bundles: handle('FetchX509Bundles'),
    FetchJWTBundles: handle('FetchJWTBundles'),
  });
  const credentials = ServerCredentials.createInsecure();
  await new Promise<void>((resolve, reject) => {
    server.bindAsync(endpoint, credentials, (error) => (error ? reject(error) : resolve()));
  });
  return server;
}

/** PEM certificates as the Workload API has them: DER, one after the other. */
export function derOf(pem: string): Buffer {
  const blocks = pem.match(/-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g) ?? [];
  return Buffer.concat(blocks.map((block) => new X509Certificate(block).raw));
}

/** A leaf of the test CA as an SVID on the wire. */
export function svidMessage(leaf: Leaf, bundle: string, hint = ''): SvidMessage {
  return {
    spiffe_id: leaf.spiffeId,
    x509_svid: derOf(leaf.cert),
    x509_svid_key: createPrivateKey(leaf.key).export({ type: 'pkcs8', format: 'der' }),
    bundle: derOf(bundle),
    hint,
  };
}
