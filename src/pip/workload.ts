import { LRUCache } from 'lru-cache';
import type { WorkloadIdentity } from '../pdp/identity.ts';
import type { WorkloadAuthenticator } from '../pdp/ports.ts';
import { createCertificateCheck } from './peer-certificate.ts';
import { normalisePrincipal } from './spiffe-id.ts';

/** Settings of {@link createWorkloadAuthenticator}. */
export interface WorkloadAuthenticatorOptions {
  /** Principals whose reading is remembered; default 4096. */
  readonly maxEntries?: number;
}

const LONGEST_PRINCIPAL = 2048;

/**
 * Takes the principals that the PEP authenticated by mutual TLS as workload identities, where they are SPIFFE IDs. Any
 * other principal (a DNS name, a certificate's subject) is no identity, never an opaque one. Headers, the forwarded
 * client certificate header and the peer's service name are never evidence. Where the PEP sends the certificate along, it must
 * say the same as the principal: else `evidence_conflict`. Design §4.1, §4.2.
 */
export function createWorkloadAuthenticator(
  options: WorkloadAuthenticatorOptions = {},
): WorkloadAuthenticator {
  const readings = new LRUCache<string, WorkloadIdentity | 'none'>({ max: options.maxEntries ?? 4096 });
  const identityOf = (principal: string): WorkloadIdentity | undefined => {
    if (principal === '' || principal.length > LONGEST_PRINCIPAL) return undefined;
    const known = readings.get(principal);
    if (known !== undefined) return known === 'none' ? undefined : known;
    const identity = normalisePrincipal(principal);
    readings.set(principal, 'invalid' in identity ? 'none' : identity);
    return 'invalid' in identity ? undefined : identity;
  };
  const check = createCertificateCheck();
  return {
    authenticate({ request }) {
      const { certificate } = request.source;
      const source = identityOf(request.source.principal);
      const conflict = source && certificate !== '' ? check(certificate, source.id) : undefined;
      if (conflict) return conflict;
      const destination = identityOf(request.destination.principal);
      return {
        ...(source && { source: { ...source, evidence: 'principal' } }),
        ...(destination && { destination }),
      };
    },
  };
}
