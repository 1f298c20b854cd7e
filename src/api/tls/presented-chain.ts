import type { X509Certificate } from 'node:crypto';
import type { TLSSocket } from 'node:tls';
import type { SvidProblem } from '../../pdp/x509-svid.ts';

/** A leaf and what was presented with it. */
export type PresentedChain = readonly [leaf: Buffer, ...intermediates: Buffer[]];

const MAX_CERTIFICATES = 10;

/** The chain that the peer of a finished handshake presented, DER, leaf first. */
export function presentedChain(socket: TLSSocket): PresentedChain | SvidProblem {
  const leaf = socket.getPeerX509Certificate();
  if (!leaf) return { cause: 'missing', problem: 'the peer presented no client certificate' };
  const rest: Buffer[] = [];
  let next: X509Certificate | undefined = leaf.issuerCertificate;
  for (; next; next = next.issuerCertificate) {
    rest.push(next.raw);
    if (rest.length === MAX_CERTIFICATES)
      return { cause: 'chain', problem: `the peer presented more than ${MAX_CERTIFICATES} certificates` };
  }
  return [leaf.raw, ...rest];
}
