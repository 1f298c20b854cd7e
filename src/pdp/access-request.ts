import type { HeaderFields } from './header-fields.ts';
import type { VerifiedToken, WorkloadIdentity } from './identity.ts';

/** The wire a check came in on. */
export type Surface = 'ext_authz' | 'check' | 'authzen';

/** One end of a connection, in the PEP's words: nothing here is verified yet. */
export interface Peer {
  /** IP address without port; absent for pipes and where the PEP did not say. */
  readonly ip?: string;
  readonly port?: number;
  /** The identity the PEP authenticated (for Envoy: first URI SAN, else DNS SAN, else subject); '' where there was none. */
  readonly principal: string;
  /** URL-encoded PEM of the leaf certificate; '' where it was not sent. */
  readonly certificate: string;
  /** A service name that clients can choose; never an identity. */
  readonly service: string;
}

/** The HTTP request that the PEP holds back until we answer. Strings are raw, as they arrived. */
export interface HttpRequest {
  readonly method: string;
  /** Path with query, not decoded. */
  readonly path: string;
  readonly host: string;
  readonly scheme: string;
  /** `HTTP/1.1`, `HTTP/2` … */
  readonly protocol: string;
  readonly headers: HeaderFields;
  /** Bytes of the body seen so far; -1 where unknown. */
  readonly size: number;
}

/** W3C trace context of the caller (traceparent, version 00). */
export interface TraceContext {
  /** 32 lower-case hex digits. */
  readonly traceId: string;
  /** 16 lower-case hex digits. */
  readonly spanId: string;
}

/** Who asks us: the policy enforcement point. */
export interface Pep {
  /** `ip:port` of the connection. */
  readonly address: string;
  /** The caller's verified identity; absent on plaintext. */
  readonly workload?: WorkloadIdentity;
  /** Unix ms at which the certificate that proved it expires. */
  readonly provenUntil?: number;
  /** The calling application, as its bearer token proves it; `id` is `<issuer name>/<sub>`. */
  readonly application?: { readonly id: string; readonly token: VerifiedToken };
}

/** One question, as the wire asked it. Immutable; nothing in it is an identity before `authenticate`. */
export interface AccessRequest {
  readonly source: Peer;
  readonly destination: Peer;
  readonly http: HttpRequest;
  /** Envoy's stream id. */
  readonly streamId: string;
  /** Server name of the client's TLS handshake; '' where unknown. */
  readonly sni: string;
  /** Per-route settings of the PEP's configuration. */
  readonly contextExtensions: ReadonlyMap<string, string>;
  /** Filter metadata by namespace, as plain JSON values. */
  readonly metadata: ReadonlyMap<string, unknown>;
}
