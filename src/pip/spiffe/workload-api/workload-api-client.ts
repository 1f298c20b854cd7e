import { fileURLToPath } from 'node:url';
import { Client, Metadata, credentials, status } from '@grpc/grpc-js';
import { type ServiceDefinition, loadSync } from '@grpc/proto-loader';
import { grpcTarget } from './workload-api-endpoint.ts';

/** One X.509-SVID as it is on the wire. */
export interface SvidMessage {
  readonly spiffe_id: string;
  readonly x509_svid: Buffer;
  readonly x509_svid_key: Buffer;
  readonly bundle: Buffer;
  readonly hint: string;
}

/** What the streams that we follow send, by the name of their call. */
export interface WorkloadApiMessages {
  readonly FetchX509SVID: {
    readonly svids: readonly SvidMessage[];
    readonly crl: readonly Buffer[];
    readonly federated_bundles: Readonly<Record<string, Buffer>>;
  };
  readonly FetchX509Bundles: {
    readonly crl: readonly Buffer[];
    readonly bundles: Readonly<Record<string, Buffer>>;
  };
  readonly FetchJWTBundles: { readonly bundles: Readonly<Record<string, Buffer>> };
}

/** How a stream ended. */
export interface StreamEnd {
  /** What to do about it (SPIFFE Workload Endpoint §6). */
  readonly kind: 'retry' | 'denied' | 'final';
  /** In words; holds the endpoint's own words too. */
  readonly problem: string;
}

/** Told of what happens on one stream. */
export interface StreamListener<M> {
  message(message: M): void;
  /** Called once, last. Not called after the stream was closed by us. */
  ended(end: StreamEnd): void;
}

/** A connection to a Workload API. */
export interface WorkloadApiClient extends Disposable {
  /** Opens a stream; returns how to close it. */
  open<C extends keyof WorkloadApiMessages>(
    call: C,
    listener: StreamListener<WorkloadApiMessages[C]>,
  ): () => void;
}

const PROTO_FOLDER = fileURLToPath(new URL('../../../../proto', import.meta.url));
const MAX_MESSAGE_BYTES = 4 * 1024 * 1024;

/** The calls of the Workload API, as gRPC wants them described; for clients and, in tests, for servers. */
export function loadWorkloadApi(): ServiceDefinition {
  const options = { includeDirs: [PROTO_FOLDER], keepCase: true, defaults: true };
  const definition = loadSync('spiffe/workloadapi.proto', options)['SpiffeWorkloadAPI'];
  return definition as ServiceDefinition;
}

/** Connects to an endpoint that was found right. A connection that is lost is made again with the next stream. */
export function connectWorkloadApi(endpoint: string): WorkloadApiClient {
  const service = loadWorkloadApi();
  const client = new Client(grpcTarget(endpoint), credentials.createInsecure(), {
    'grpc.max_receive_message_length': MAX_MESSAGE_BYTES,
    // The endpoint is on this machine: a proxy named in the environment must never see our private key.
    'grpc.enable_http_proxy': 0,
    'grpc.service_config_disable_resolution': 1,
    // The pause between streams is ours; the channel's own would only add to it.
    'grpc.initial_reconnect_backoff_ms': 100,
    'grpc.max_reconnect_backoff_ms': 1_000,
  });
  return {
    open: (call, listener) => openStream(client, service, call, listener),
    [Symbol.dispose]: () => client.close(),
  };
}

function openStream<C extends keyof WorkloadApiMessages>(
  client: Client,
  service: ServiceDefinition,
  call: C,
  listener: StreamListener<WorkloadApiMessages[C]>,
): () => void {
  const method = service[call];
  if (method === undefined) throw new Error(`the Workload API has no call ${call}`);
  const { path, requestSerialize, responseDeserialize } = method;
  const stream = client.makeServerStreamRequest(path, requestSerialize, responseDeserialize, {}, workload());
  let open = true;
  const end = (kind: StreamEnd['kind'], problem: string): void => {
    if (!open) return;
    open = false;
    listener.ended({ kind, problem });
  };
  stream.on('data', (message: WorkloadApiMessages[C]) => {
    if (open) listener.message(message);
  });
  stream.on('error', (error: Error & { code?: number }) =>
    // gRPC ends with a heading under which it has nothing to say.
    end(kindOf(error.code), error.message.replace(/\s*Resolution note:\s*$/, '')),
  );
  stream.on('end', () => end('retry', 'the stream was ended by the endpoint'));
  return () => {
    open = false;
    stream.cancel();
  };
}

/** Says that the caller is a workload: what a request that was smuggled through somebody else cannot say (Workload Endpoint §3). */
function workload(): Metadata {
  const metadata = new Metadata();
  metadata.set('workload.spiffe.io', 'true');
  return metadata;
}

function kindOf(code: number | undefined): StreamEnd['kind'] {
  switch (code) {
    case status.PERMISSION_DENIED:
      return 'denied';
    case status.INVALID_ARGUMENT:
    case status.UNIMPLEMENTED:
      return 'final';
    default:
      return 'retry';
  }
}
