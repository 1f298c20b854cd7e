import { constants } from 'node:crypto';
import { type Server as TcpServer, type Socket, createServer as createTcpServer } from 'node:net';
import { type SecureContextOptions, type Server, type TLSSocket, createServer } from 'node:tls';
import type { WorkloadIdentity } from '../../pdp/identity.ts';
import type { Log } from '../../pdp/log.ts';
import type { Clock } from '../../pdp/ports.ts';
import { type SvidSource, type SvidVerifier, type X509Svid, isSvidProblem } from '../../pdp/x509-svid.ts';
import { listen } from '../address.ts';
import { type TlsPeer, bindPeer } from './peer.ts';
import { type RefusalCause, createRefusals } from './refused-connections.ts';
import { presentedChain } from './presented-chain.ts';
import { assertStrangersAreRefused } from './self-check.ts';
import { type Accepted, TlsConnections } from './tls-connections.ts';

/** Our identity and whom we trust, the same for all surfaces. */
export interface Trust {
  readonly svids: SvidSource;
  readonly verify: SvidVerifier;
  readonly clock: Clock;
  readonly log: Log;
  /** Told of each connection that was refused or cut. Must not throw. */
  onRefused(surface: string, cause: RefusalCause): void;
}

/** How a surface does mutual TLS. */
export interface TlsSettings {
  readonly trust: Trust;
  /** The allow list of the surface. */
  readonly allows: (caller: WorkloadIdentity) => boolean;
  /** Connections are retired at about this age, a tenth more or less, or before their certificate expires. */
  readonly maxConnectionAgeMs: number;
  /** Open connections, handshakes included; more are dropped. Default 10 000. */
  readonly maxConnections?: number;
  /** How long a handshake may take. Default 5000. */
  readonly handshakeTimeoutMs?: number;
}

/** One surface over mutual TLS. */
export interface TlsListenerOptions extends TlsSettings {
  /** In log lines and metrics. */
  readonly surface: string;
  /** `host:port`; port 0 picks a free one. */
  readonly address: string;
  /** The one protocol spoken (ALPN). */
  readonly protocol: 'h2' | 'http/1.1';
  /** Takes over a connection whose peer was verified and bound to it. */
  readonly accept: (socket: TLSSocket, peer: TlsPeer) => Accepted;
}

/** A bound surface over mutual TLS. */
export interface TlsListener extends AsyncDisposable {
  /** `host:port` as bound. */
  readonly address: string;
  /** Takes no more connections; those that are open live on. */
  refuseNew(): void;
}

/**
 * Listens with our SVID, and verifies each peer's whole chain to the bundle of its own trust domain after the handshake: OpenSSL would
 * take any CA for any name (X509-SVID §5.1). Whoever is not verified is disconnected before a byte reaches what is served. New SVIDs
 * and bundles are in force at once, connections that new bundles do not bear out are cut. Nobody gets in while no valid SVID is
 * held. Rejects where the address cannot be bound, no SVID is held, or a connection without a client certificate is not refused.
 */
export async function startTlsListener(options: TlsListenerOptions): Promise<TlsListener> {
  const { svids } = options.trust;
  if (!svids.state.svid) throw new Error(`the ${options.surface} surface has no SVID to listen with`);
  const surface = new TlsSurface(options, svids.state.svid);
  const stopFollowing = svids.onChange(() => surface.follow());
  const dispose = async (): Promise<void> => {
    stopFollowing();
    await surface.close();
  };
  try {
    const address = await listen(surface.tcp, options.address);
    await assertStrangersAreRefused(surface.tcp, options, (port) => surface.refusals.expectFrom(port));
    return { address, refuseNew: () => void surface.tcp.close(), [Symbol.asyncDispose]: dispose };
  } catch (error) {
    await dispose();
    throw error;
  }
}

class TlsSurface {
  readonly tcp: TcpServer;
  readonly refusals: ReturnType<typeof createRefusals>;
  readonly #tls: Server;
  readonly #options: TlsListenerOptions;
  readonly #connections: TlsConnections;
  readonly #sockets = new Set<Socket>();
  #svid: X509Svid | undefined;

  constructor(options: TlsListenerOptions, svid: X509Svid) {
    const { trust, surface, protocol, handshakeTimeoutMs = 5000, maxConnections = 10_000 } = options;
    this.#options = options;
    this.#svid = svid;
    this.refusals = createRefusals(surface, trust);
    this.#connections = new TlsConnections(options, this.refusals);
    this.#tls = createServer({
      ...contextOptions(svid),
      requestCert: true,
      rejectUnauthorized: false,
      ALPNProtocols: [protocol],
      handshakeTimeout: handshakeTimeoutMs,
    });
    this.#tls.on('secureConnection', (socket) => this.#greet(socket));
    this.#tls.on('tlsClientError', (error, socket) =>
      this.refusals.refuse(socket, 'handshake', `the TLS handshake failed: ${error.message}`),
    );
    this.tcp = createTcpServer({ noDelay: true }, (socket) => this.#receive(socket));
    this.tcp.maxConnections = maxConnections;
    this.tcp.on('drop', () => this.refusals.count('capacity', `more than ${maxConnections} connections`));
  }

  /** Takes over what the source holds now. */
  follow(): void {
    const { svid, bundles } = this.#options.trust.svids.state;
    if (svid !== this.#svid) this.#replace(svid);
    this.#connections.recheck(bundles);
  }

  async close(): Promise<void> {
    this.#tls.close();
    for (const socket of this.#sockets) socket.destroy();
    this.refusals[Symbol.dispose]();
    if (!this.tcp.listening) return;
    await new Promise<void>((resolve) => this.tcp.close(() => resolve()));
  }

  #replace(svid: X509Svid | undefined): void {
    this.#svid = svid;
    if (!svid) return;
    try {
      this.#tls.setSecureContext(contextOptions(svid));
    } catch (error) {
      // Better nobody than a certificate that is not the one we are told to have.
      this.#svid = undefined;
      const { surface, trust } = this.#options;
      trust.log.error({ surface, err: error }, 'our new SVID cannot be used: nobody can connect');
    }
  }

  #receive(socket: Socket): void {
    const problem = identityProblem(this.#svid, this.#options.trust.clock.now());
    socket.on('error', () => undefined);
    this.#sockets.add(socket);
    socket.once('close', () => this.#sockets.delete(socket));
    if (problem === undefined) this.#tls.emit('connection', socket);
    else this.refusals.refuse(socket, 'no_identity', problem);
  }

  #greet(socket: TLSSocket): void {
    socket.on('error', () => undefined);
    const { trust, protocol, allows } = this.#options;
    // Whoever names no protocol speaks HTTP/1.1.
    if ((socket.alpnProtocol || 'http/1.1') !== protocol)
      return this.refusals.refuse(socket, 'protocol', `the peer does not speak ${protocol} (ALPN)`);
    const chain = presentedChain(socket);
    if ('cause' in chain) return this.refusals.refuse(socket, chain.cause, chain.problem);
    const svid = trust.verify(chain, trust.clock.now());
    if (isSvidProblem(svid)) return this.refusals.refuse(socket, svid.cause, svid.problem);
    const peer = { svid, allowed: allows(svid.identity) };
    bindPeer(socket, peer, chain[0]);
    this.#connections.add(socket, peer, chain);
  }
}

/** Why nobody can connect with the SVID that we hold at `now` (Unix ms); `undefined` where it is good. */
export function identityProblem(svid: X509Svid | undefined, now: number): string | undefined {
  if (!svid) return 'we hold no SVID of our own';
  if (now < svid.notBefore) return 'our own SVID is not valid yet';
  return now < svid.notAfter ? undefined : 'our own SVID has expired';
}

/**
 * No CAs: the peer is verified by us. No resumption: a resumed session has no chain to verify, and would outlive the bundle it was
 * verified with. TLS 1.2 with the cipher suites that HTTP/2 leaves (RFC 9113 §9.2.2), for PEPs without 1.3.
 */
function contextOptions({ certificateChain, privateKey }: X509Svid): SecureContextOptions {
  return {
    cert: certificateChain,
    key: privateKey,
    ca: [],
    minVersion: 'TLSv1.2',
    ciphers: [
      'TLS_AES_128_GCM_SHA256',
      'TLS_AES_256_GCM_SHA384',
      'TLS_CHACHA20_POLY1305_SHA256',
      'ECDHE+AESGCM',
      'ECDHE+CHACHA20',
    ].join(':'),
    secureOptions: constants.SSL_OP_NO_TICKET | constants.SSL_OP_NO_RENEGOTIATION,
  };
}
