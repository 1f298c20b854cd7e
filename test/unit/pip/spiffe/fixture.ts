import { X509Certificate } from 'node:crypto';
import type { TrustBundle } from '../../../../src/pdp/x509-svid.ts';
import type { TestCa } from '../../../support/test-ca.ts';

/** The bundle of one trust domain with the CA certificates of `authorities`. */
export function bundleOf(trustDomain: string, ...authorities: readonly TestCa[]): TrustBundle {
  return {
    trustDomain,
    x509Authorities: authorities.map(({ bundle }) => new X509Certificate(bundle)),
    jwtAuthorities: [],
  };
}
