import type protobuf from 'protobufjs';
import type { AccessRequest, Peer } from '../../pdp/access-request.ts';
import { type Refusal, refuse } from '../../pdp/decision.ts';
import { HeaderFields } from '../../pdp/header-fields.ts';
import { type WireStruct, structOf } from '../struct.ts';

interface WirePeer {
  readonly address?: {
    readonly socketAddress?: { readonly address: string; readonly portValue?: number } | null;
  } | null;
  readonly service: string;
  readonly principal: string;
  readonly certificate: string;
}

interface WireHeaderValue {
  readonly key: string;
  readonly value: string;
  readonly rawValue: Uint8Array;
}

interface WireHttp {
  readonly id: string;
  readonly method: string;
  readonly headers: { readonly [name: string]: string };
  readonly path: string;
  readonly host: string;
  readonly scheme: string;
  readonly size: { toNumber(): number } | number;
  readonly protocol: string;
  readonly headerMap?: { readonly headers: readonly WireHeaderValue[] } | null;
}

interface WireCheckRequest {
  readonly attributes?: {
    readonly source?: WirePeer | null;
    readonly destination?: WirePeer | null;
    readonly request?: { readonly http?: WireHttp | null } | null;
    readonly contextExtensions: { readonly [name: string]: string };
    readonly metadataContext?: {
      readonly filterMetadata: { readonly [namespace: string]: WireStruct };
    } | null;
    readonly tlsSession?: { readonly sni: string } | null;
  } | null;
}

/**
 * Reads an ext_authz v3 CheckRequest. Bytes that are no CheckRequest, and questions that are not about an HTTP request, are
 * refused as `request_malformed`; nothing is thrown.
 */
export function decodeCheckRequest(bytes: Uint8Array, type: protobuf.Type): AccessRequest | Refusal {
  let message: WireCheckRequest;
  try {
    message = type.decode(bytes) as protobuf.Message & WireCheckRequest;
  } catch (error) {
    return refuse('request_malformed', `not a CheckRequest: ${(error as Error).message}`);
  }
  const attributes = message.attributes;
  const http = attributes?.request?.http;
  if (!attributes || !http) return refuse('request_malformed', 'the CheckRequest carries no HTTP request');
  return {
    source: peerOf(attributes.source),
    destination: peerOf(attributes.destination),
    http: {
      method: http.method,
      path: http.path,
      host: http.host,
      scheme: http.scheme,
      protocol: http.protocol,
      headers: headersOf(http),
      size: typeof http.size === 'number' ? http.size : http.size.toNumber(),
    },
    streamId: http.id,
    sni: attributes.tlsSession?.sni ?? '',
    contextExtensions: new Map(Object.entries(attributes.contextExtensions)),
    metadata: metadataOf(attributes.metadataContext?.filterMetadata),
  };
}

function peerOf(peer: WirePeer | null | undefined): Peer {
  const socket = peer?.address?.socketAddress;
  return {
    ...(socket && { ip: socket.address, port: socket.portValue ?? 0 }),
    principal: peer?.principal ?? '',
    certificate: peer?.certificate ?? '',
    service: peer?.service ?? '',
  };
}

/**
 * With `encode_raw_headers` the map is empty and `header_map` holds the raw bytes; else duplicates arrive joined by ','. A PEP that
 * sends both forms has each field taken from each: what differs, and what must be single, is then a conflict for whoever reads it.
 */
function headersOf(http: WireHttp): HeaderFields {
  const map = Object.entries(http.headers);
  if (!http.headerMap) return new HeaderFields(map, true);
  return new HeaderFields([...map, ...http.headerMap.headers.flatMap(rawFields)], map.length > 0);
}

/** Header bytes are not UTF-8 by right: latin1 keeps each byte apart, so that no two values become equal. */
function rawFields({ key, value, rawValue }: WireHeaderValue): readonly (readonly [string, string])[] {
  if (rawValue.length === 0) return [[key, value]];
  const raw = Buffer.from(rawValue.buffer, rawValue.byteOffset, rawValue.length).toString('latin1');
  return value === '' || value === raw
    ? [[key, raw]]
    : [
        [key, raw],
        [key, value],
      ];
}

function metadataOf(
  filterMetadata: { readonly [namespace: string]: WireStruct } | undefined,
): Map<string, unknown> {
  return new Map(
    Object.entries(filterMetadata ?? {}).map(([namespace, struct]) => [namespace, structOf(struct)]),
  );
}
