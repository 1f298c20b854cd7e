import type { TLSSocket } from 'node:tls';
import type { Clock } from '../../pdp/ports.ts';
import { type SvidSource, type SvidVerifier, type TrustBundles, isSvidProblem } from '../../pdp/x509-svid.ts';
import type { TlsPeer } from './peer.ts';
import type { PresentedChain } from './presented-chain.ts';
import type { Refusals } from './refused-connections.ts';

/** What a surface made of a connection. */
export interface Accepted {
  /** Asks the peer to make another connection (GOAWAY, `connection: close`); what is under way has `graceMs` to finish. */
  retire(graceMs: number): void;
}

/** What the life of connections depends on. */
export interface ConnectionLife {
  readonly trust: { readonly svids: SvidSource; readonly verify: SvidVerifier; readonly clock: Clock };
  readonly maxConnectionAgeMs: number;
  readonly accept: (socket: TLSSocket, peer: TlsPeer) => Accepted;
}

/** How long calls may take to finish on a connection that is retired. */
const GRACE_MS = 10_000;
/** Chains verified in one turn of the event loop when bundles change: a verification takes a few hundred microseconds. */
const RECHECK_BATCH = 20;

/** The verified connections of one surface: each ends with its age, with its certificate, or with the trust in it. */
export class TlsConnections {
  readonly #life: ConnectionLife;
  readonly #refusals: Refusals;
  readonly #open = new Map<TLSSocket, PresentedChain>();
  #bundles: TrustBundles;

  constructor(life: ConnectionLife, refusals: Refusals) {
    this.#life = life;
    this.#refusals = refusals;
    this.#bundles = life.trust.svids.state.bundles;
  }

  /** Hands a verified connection to the surface. */
  add(socket: TLSSocket, peer: TlsPeer, chain: PresentedChain): void {
    this.#open.set(socket, chain);
    const timers: NodeJS.Timeout[] = [];
    socket.once('close', () => {
      this.#open.delete(socket);
      for (const timer of timers) clearTimeout(timer);
    });
    const accepted = this.#life.accept(socket, peer);
    const { retireInMs, graceMs } = this.#lifeOf(peer);
    const after = (ms: number, run: () => void) => void timers.push(setTimeout(run, ms).unref());
    after(retireInMs, () => accepted.retire(graceMs));
    after(retireInMs + graceMs, () => socket.destroy());
  }

  /** Cuts the connections whose peers the bundles do not bear out any more. */
  recheck(bundles: TrustBundles): void {
    if (bundles === this.#bundles) return;
    this.#bundles = bundles;
    this.#recheckFrom(bundles, [...this.#open]);
  }

  #recheckFrom(bundles: TrustBundles, left: [TLSSocket, PresentedChain][]): void {
    const { verify, clock } = this.#life.trust;
    for (const [socket, chain] of left.splice(0, RECHECK_BATCH)) {
      if (socket.destroyed) continue;
      const result = verify(chain, clock.now());
      if (isSvidProblem(result))
        this.#refusals.refuse(socket, result.cause, `the trust bundles changed: ${result.problem}`);
    }
    // Newer bundles begin anew, with every connection.
    if (left.length > 0 && bundles === this.#bundles) setImmediate(() => this.#recheckFrom(bundles, left));
  }

  /** A tenth more or less, so that connections made at once do not end at once; early enough to finish before the certificate expires. */
  #lifeOf({ svid }: TlsPeer): { readonly retireInMs: number; readonly graceMs: number } {
    const age = this.#life.maxConnectionAgeMs * (0.9 + Math.random() * 0.2);
    const remaining = svid.notAfter - this.#life.trust.clock.now();
    const retireInMs = Math.min(age, Math.max(remaining - GRACE_MS, remaining / 2));
    return { retireInMs, graceMs: Math.min(GRACE_MS, remaining - retireInMs) };
  }
}
