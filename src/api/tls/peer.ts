import type { TLSSocket } from 'node:tls';
import type { VerifiedSvid } from '../../pdp/x509-svid.ts';

/** The workload at the other end of a mutual TLS connection, verified once, when the connection was made. */
export interface TlsPeer {
  readonly svid: VerifiedSvid;
  /** False: trusted, but not on the allow list of the surface. */
  readonly allowed: boolean;
}

const BY_CERTIFICATE = new WeakMap<object, TlsPeer>();
const BY_SOCKET = new WeakMap<object, TlsPeer>();

/**
 * Binds a verified peer to its very connection, so that a call finds it without certificate work: from here on the socket answers
 * `getPeerCertificate()`, and so grpc-js `getAuthContext()`, with one object that stands for the peer.
 */
export function bindPeer(socket: TLSSocket, peer: TlsPeer, leaf: Buffer): void {
  const certificate = { raw: leaf };
  BY_CERTIFICATE.set(certificate, peer);
  BY_SOCKET.set(socket, peer);
  Object.defineProperty(socket, 'getPeerCertificate', { value: () => certificate });
  // grpc-js shows the peer of an authorized socket only. The authority is our verifier, not the union of CAs that OpenSSL would ask.
  socket.authorized = true;
}

/** The peer that a socket's `getPeerCertificate()` stands for; `undefined` where none was bound. */
export function peerOfCertificate(certificate: object | undefined): TlsPeer | undefined {
  return certificate && BY_CERTIFICATE.get(certificate);
}

/** The peer of a connection; `undefined` where none was bound. */
export function peerOfSocket(socket: object): TlsPeer | undefined {
  return BY_SOCKET.get(socket);
}
