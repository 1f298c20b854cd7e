import { Client, type ClientUnaryCall, credentials } from '@grpc/grpc-js';
import type protobuf from 'protobufjs';
import type { AccessRequest, Peer } from '../../pdp/access-request.ts';
import type { ExtAuthzTypes } from '../protos.ts';

const CHECK_PATH = '/envoy.service.auth.v3.Authorization/Check';
const TIMEOUT_MS = 5000;

/** An ext_authz answer, as a person wants to read it. */
export interface CheckAnswer {
  readonly allowed: boolean;
  /** HTTP status that the PEP's client would get; 200 on ALLOW. */
  readonly httpStatus: number;
  readonly headers: { readonly [name: string]: string };
  /** Problem details of a deny. */
  readonly body: string;
  /** Dynamic metadata: decision id, decision, reason, policies, snapshot, cacheable_until. */
  readonly metadata: { readonly [name: string]: string | number | boolean | readonly string[] };
}

/** Encodes a question as Envoy would, with raw headers. */
export function encodeCheckRequest(request: AccessRequest, type: protobuf.Type): Buffer {
  const { http, contextExtensions, sni } = request;
  const headers = [...http.headers.names()].flatMap((key) =>
    http.headers.values(key).map((value) => ({ key, rawValue: Buffer.from(value, 'latin1') })),
  );
  const attributes = {
    source: peerMessage(request.source),
    destination: peerMessage(request.destination),
    request: { http: { ...http, id: request.streamId, headers: {}, headerMap: { headers } } },
    contextExtensions: Object.fromEntries(contextExtensions),
    tlsSession: sni === '' ? null : { sni },
  };
  return type.encode({ attributes }).finish() as Buffer;
}

function peerMessage({ ip, port, principal, certificate, service }: Peer): object {
  const address = ip === undefined ? null : { socketAddress: { address: ip, portValue: port } };
  return { address, principal, certificate, service };
}

/** Asks a running decision point over plaintext gRPC. Rejects where it cannot be reached or does not answer in five seconds. */
export async function askServer(
  address: string,
  request: AccessRequest,
  types: ExtAuthzTypes,
): Promise<CheckAnswer> {
  const client = new Client(address, credentials.createInsecure());
  try {
    const bytes = await new Promise<Buffer>((resolve, reject) => {
      const call: ClientUnaryCall = client.makeUnaryRequest(
        CHECK_PATH,
        (buffer: Buffer) => buffer,
        (buffer: Buffer) => buffer,
        encodeCheckRequest(request, types.CheckRequest),
        { deadline: Date.now() + TIMEOUT_MS },
        (error, answer) => (error || !answer ? reject(error ?? new Error('empty answer')) : resolve(answer)),
      );
      call.on('error', () => undefined);
    });
    return decodeCheckResponse(bytes, types.CheckResponse);
  } finally {
    client.close();
  }
}

interface WireResponse {
  readonly status?: { readonly code?: number };
  readonly deniedResponse?: WireDenied;
  readonly errorResponse?: WireDenied;
  readonly okResponse?: { readonly headers?: WireHeader[] };
  readonly dynamicMetadata?: {
    readonly fields: {
      readonly [name: string]: {
        boolValue?: boolean;
        stringValue?: string;
        numberValue?: number;
        listValue?: { values: { stringValue: string }[] };
      };
    };
  };
}

interface WireDenied {
  readonly status?: { readonly code: number };
  readonly headers?: WireHeader[];
  readonly body?: string;
}

interface WireHeader {
  readonly header: { readonly key: string; readonly value: string };
}

/** Reads an ext_authz answer the way Envoy does: a status code of 0, and nothing else, is ALLOW. */
export function decodeCheckResponse(bytes: Uint8Array, type: protobuf.Type): CheckAnswer {
  const message = type.toObject(type.decode(bytes)) as WireResponse;
  const allowed = (message.status?.code ?? 0) === 0;
  const denied = message.deniedResponse ?? message.errorResponse;
  const headers = (allowed ? message.okResponse?.headers : denied?.headers) ?? [];
  const fields = Object.entries(message.dynamicMetadata?.fields ?? {});
  return {
    allowed,
    httpStatus: allowed ? 200 : (denied?.status?.code ?? 403),
    headers: Object.fromEntries(headers.map(({ header }) => [header.key, header.value])),
    body: denied?.body ?? '',
    metadata: Object.fromEntries(
      fields.map(([name, value]) => [
        name,
        value.stringValue ??
          value.boolValue ??
          value.numberValue ??
          value.listValue?.values?.map((item) => item.stringValue) ??
          [],
      ]),
    ),
  };
}
