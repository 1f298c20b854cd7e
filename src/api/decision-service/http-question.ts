import type { AccessRequest, Peer } from '../../pdp/access-request.ts';
import { HeaderFields } from '../../pdp/header-fields.ts';

/** A decoded `pdp.v1.HttpQuestion`. */
export interface WireHttpQuestion {
  readonly method: string;
  readonly path: string;
  readonly host: string;
  readonly scheme: string;
  readonly headers: readonly { readonly name: string; readonly value: string }[];
  readonly source: string;
  readonly destination: string;
  readonly sourceIp: string;
  readonly sni: string;
  readonly contextExtensions: { readonly [name: string]: string };
}

/** The request that a PEP would have asked about. Everything in it is on the word of the caller, so nobody may act on the answer. */
export function accessRequestOf(wire: WireHttpQuestion): AccessRequest {
  const { method, path, host, scheme, headers, source, destination, sourceIp, sni } = wire;
  return {
    source: { ...peer(source), ...(sourceIp !== '' && { ip: sourceIp, port: 0 }) },
    destination: peer(destination),
    http: {
      method,
      path,
      host,
      scheme,
      protocol: '',
      headers: new HeaderFields(
        headers.map(({ name, value }) => [name, value]),
        false,
      ),
      size: -1,
    },
    streamId: '',
    sni,
    contextExtensions: new Map(Object.entries(wire.contextExtensions)),
    metadata: new Map(),
  };
}

function peer(principal: string): Peer {
  return { principal, certificate: '', service: '' };
}
