import { createHash } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import type { SvidProblem, SvidVerifier, TrustBundles } from '../../../pdp/x509-svid.ts';
import { type SvidFinding, type SvidVerifierOptions, findSvid } from './verify-svid.ts';

/** Settings of {@link createCachedSvidVerifier}. */
export interface CachedSvidVerifierOptions extends SvidVerifierOptions {
  /** Chains remembered; 1024 where not given. */
  readonly maxEntries?: number;
}

interface Refused {
  readonly problem: SvidProblem;
  readonly bundles: TrustBundles;
  /** Unix ms. */
  readonly until: number;
}

/** A refusal may rest on a certificate that is not valid yet, so it is not believed for long. */
const REFUSED_MS = 10_000;

/**
 * Makes a verifier that remembers its last findings, for certificates that arrive with every request. A finding is of the whole chain
 * and holds while the bundle of its trust domain is the same object and every certificate of its path is valid; both are looked at
 * each time. A refusal holds for ten seconds of the same bundles. Problems of time are never remembered.
 */
export function createCachedSvidVerifier(
  bundles: () => TrustBundles,
  options: CachedSvidVerifierOptions = {},
): SvidVerifier {
  const known = new LRUCache<string, SvidFinding | Refused>({ max: options.maxEntries ?? 1024 });
  return (chain, now) => {
    const inForce = bundles();
    const key = keyOf(chain);
    const hit = known.get(key);
    if (hit && stillHolds(hit, inForce, now)) return 'svid' in hit ? hit.svid : hit.problem;
    const finding = findSvid(chain, inForce, now, options.purposes);
    if ('svid' in finding) {
      known.set(key, finding);
      return finding.svid;
    }
    if (isTimeless(finding)) known.set(key, { problem: finding, bundles: inForce, until: now + REFUSED_MS });
    else known.delete(key);
    return finding;
  };
}

function keyOf(chain: readonly Uint8Array[]): string {
  const hash = createHash('sha256');
  // Lengths keep two chains from being the same bytes.
  for (const der of chain) hash.update(`${der.length}:`).update(der);
  return hash.digest('base64');
}

function stillHolds(hit: SvidFinding | Refused, bundles: TrustBundles, now: number): boolean {
  if (!('svid' in hit)) return hit.bundles === bundles && now < hit.until;
  const { svid, bundle, validity } = hit;
  if (bundles.get(svid.identity.trustDomain) !== bundle) return false;
  return now >= validity.notBefore && now <= validity.notAfter;
}

function isTimeless({ cause }: SvidProblem): boolean {
  return cause !== 'expired' && cause !== 'not_yet_valid';
}
