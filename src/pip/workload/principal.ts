import { LRUCache } from 'lru-cache';
import { type Refusal, refuse } from '../../pdp/decision.ts';
import type { ProvenWorkload, WorkloadIdentity } from '../../pdp/identity.ts';
import { withEvidence } from '../evidence.ts';
import { printable } from '../printable.ts';
import { normalisePrincipal } from '../spiffe/spiffe-id.ts';

/** A principal that is a workload. Made once for each principal, so that the common request allocates nothing for it. */
export interface Principal {
  readonly identity: WorkloadIdentity;
  /** The same as the source of a request. */
  readonly proven: ProvenWorkload;
}

/** Longest principal remembered; nothing that is longer is a SPIFFE ID. */
const LONGEST = 2048;

/**
 * Makes a reader of the principals that PEPs authenticated. A SPIFFE ID is a workload, also in Istio's form without the scheme. What
 * only looks like one is refused (`workload_evidence_invalid`), so that a slip of a certificate authority is not taken for a
 * client without identity; any other principal (a DNS name, a certificate's subject) is `undefined`: no identity, never an
 * opaque one. Readings of the last `maxEntries` principals are remembered.
 */
export function createPrincipalReader(
  maxEntries: number,
): (principal: string) => Principal | Refusal | undefined {
  const readings = new LRUCache<string, Principal | Refusal | 'none'>({ max: maxEntries });
  return (principal) => {
    if (principal === '') return undefined;
    if (principal.length > LONGEST)
      return looksLikeSpiffeId(principal) ? invalid(principal, TOO_LONG) : undefined;
    let reading = readings.get(principal);
    if (reading === undefined) readings.set(principal, (reading = readPrincipal(principal)));
    return reading === 'none' ? undefined : reading;
  };
}

const TOO_LONG = `longer than ${LONGEST} bytes`;

function readPrincipal(principal: string): Principal | Refusal | 'none' {
  const identity = normalisePrincipal(principal);
  if (!('invalid' in identity)) return { identity, proven: { ...identity, evidence: 'principal' } };
  return looksLikeSpiffeId(principal) ? invalid(principal, identity.invalid) : 'none';
}

function looksLikeSpiffeId(text: string): boolean {
  return /^spiffe:\/\//i.test(text) || text.includes('/ns/');
}

function invalid(principal: string, problem: string): Refusal {
  const detail = `the principal ${printable(principal)} that the PEP gives looks like a SPIFFE ID and is none: ${problem}`;
  return withEvidence(refuse('workload_evidence_invalid', detail, { cause: 'spiffe_id' }), principal);
}
