import type { Http2Session } from 'node:http2';
import type { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import type { ServerUnaryCall } from '@grpc/grpc-js';
import type { Pep } from '../pdp/access-request.ts';
import { type Refusal, refuse } from '../pdp/decision.ts';
import { type TlsPeer, peerOfCertificate, peerOfSocket } from './tls/peer.ts';

/** By whose list a caller may call: that of the surface, or one that the service has of its own. */
export type CallerList = 'surface' | 'own';

/** Who is calling, and whether we answer. */
export interface Caller {
  /** The connection's address and, on TLS, the workload that was verified when it was made. */
  readonly pep: Pep;
  /** Present: the caller is to be denied. */
  readonly refusal?: Refusal;
}

/**
 * Names the caller of a gRPC call at `now` (Unix ms) and refuses (`caller_not_allowed`) who is not verified, or not any more, and by the
 * `list` of the `surface` who is not on it; a service that has its `own` looks itself. Where `plaintext` was chosen for the surface, anybody
 * may ask. Costs two look-ups: the certificate was verified when the connection was made.
 */
export function callerOf(
  call: Pick<ServerUnaryCall<unknown, unknown>, 'getPeer' | 'getAuthContext'>,
  plaintext: boolean,
  list: CallerList,
  now: number,
): Caller {
  const address = call.getPeer();
  if (plaintext) return { pep: { address } };
  const peer = peerOfCertificate(call.getAuthContext().sslPeerCertificate);
  return verifiedCaller(address, peer && list === 'own' ? { ...peer, allowed: true } : peer, now);
}

/** As {@link callerOf}, of an HTTP request by the connection it came on. */
export function callerOn(socket: Socket, plaintext: boolean, list: CallerList, now: number): Caller {
  const address = `${socket.remoteAddress}:${socket.remotePort}`;
  if (plaintext) return { pep: { address } };
  const peer = peerOfSocket(socket);
  return verifiedCaller(address, peer && list === 'own' ? { ...peer, allowed: true } : peer, now);
}

/** A connection as calls on it need to know it. */
export interface Connection {
  /** `address:port` at the other end. */
  readonly address: string;
  /** Absent where none was verified. */
  readonly peer: TlsPeer | undefined;
}

const CONNECTIONS = new WeakMap<Http2Session, Connection>();

/** The connection of an HTTP/2 session; worked out once, while the session is open. */
export function connectionOf(session: Http2Session): Connection {
  let connection = CONNECTIONS.get(session);
  if (!connection) {
    const { remoteAddress, remotePort } = session.socket;
    const certificate = (session.socket as Partial<TLSSocket>).getPeerCertificate?.();
    // As grpc-js says it.
    const address = remotePort ? `${remoteAddress}:${remotePort}` : (remoteAddress ?? 'unknown');
    connection = { address, peer: peerOfCertificate(certificate) };
    CONNECTIONS.set(session, connection);
  }
  return connection;
}

/** As {@link callerOf}, by the connection of the call. */
export function callerOfConnection(
  { address, peer }: Connection,
  plaintext: boolean,
  list: CallerList,
  now: number,
): Caller {
  if (plaintext) return { pep: { address } };
  return verifiedCaller(address, peer && list === 'own' ? { ...peer, allowed: true } : peer, now);
}

function verifiedCaller(address: string, peer: TlsPeer | undefined, now: number): Caller {
  if (!peer)
    return {
      pep: { address },
      refusal: refuse('caller_not_allowed', 'the caller was not verified', { cause: 'missing' }),
    };
  const refusal = peerRefusal(peer, now);
  return {
    pep: { address, workload: peer.svid.identity, provenUntil: peer.svid.notAfter },
    ...(refusal && { refusal }),
  };
}

/** Why a verified peer may not ask at `now` (Unix ms): its certificate has expired meanwhile, or it is not on the allow list. */
function peerRefusal({ svid, allowed }: TlsPeer, now: number): Refusal | undefined {
  const { id } = svid.identity;
  if (now >= svid.notAfter) {
    const at = new Date(svid.notAfter).toISOString();
    return refuse(
      'caller_not_allowed',
      `the certificate of ${id} expired at ${at}, while its connection lived`,
      { cause: 'expired' },
    );
  }
  return allowed ? undefined : refuse('caller_not_allowed', `${id} is not on the allow list of this surface`);
}
