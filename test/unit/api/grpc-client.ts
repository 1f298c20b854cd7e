import { type ChannelCredentials, Client, Metadata, credentials } from '@grpc/grpc-js';
import { type CheckAnswer, decodeCheckResponse } from '../../../src/api/ext-authz/client.ts';
import { EXT_AUTHZ_TYPES } from '../../support/requests.ts';

const CHECK = '/envoy.service.auth.v3.Authorization/Check';
const asIs = (bytes: Buffer) => bytes;

/** What is special about one call. */
export interface CallOptions {
  /** Milliseconds from now. */
  readonly deadlineMs?: number;
  readonly metadata?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal;
}

/** A client that sends bytes as they are. */
export interface RawClient extends Disposable {
  check(bytes: Uint8Array, options?: CallOptions): Promise<CheckAnswer>;
  /** Any unary method, bytes in and out. */
  unary(path: string, bytes: Uint8Array, options?: CallOptions): Promise<Buffer>;
  readonly client: Client;
}

/**
 * Connects to `host:port`, in plaintext unless credentials are given. Without retries, where not asked for: with them, calls that a
 * connection at its end did not take on are made again on the next one, as gRPC clients do.
 */
export function connect(
  address: string,
  channel: ChannelCredentials = credentials.createInsecure(),
  retries = false,
): RawClient {
  const client = new Client(address, channel, {
    'grpc.enable_retries': Number(retries),
    // Certificates of workloads name no host.
    'grpc.ssl_target_name_override': 'pdp.test',
    'grpc.default_authority': 'pdp.test',
  });
  const unary = (
    path: string,
    bytes: Uint8Array,
    { deadlineMs = 5000, metadata = {}, signal }: CallOptions = {},
  ) =>
    new Promise<Buffer>((resolve, reject) => {
      const fields = new Metadata();
      for (const [name, value] of Object.entries(metadata)) fields.set(name, value);
      const call = client.makeUnaryRequest(
        path,
        asIs,
        asIs,
        Buffer.from(bytes),
        fields,
        { deadline: Date.now() + deadlineMs },
        (error, answer) => (error ? reject(error) : resolve(answer ?? Buffer.alloc(0))),
      );
      signal?.addEventListener('abort', () => call.cancel());
    });
  return {
    client,
    unary,
    check: async (bytes, options) =>
      decodeCheckResponse(await unary(CHECK, bytes, options), EXT_AUTHZ_TYPES.CheckResponse),
    [Symbol.dispose]: () => client.close(),
  };
}
