import type { TrustBundle } from '../../../pdp/x509-svid.ts';
import { type Certificate, readCertificate } from './certificate.ts';

// Bundles change every few hours and are read at every verification.
const readBefore = new WeakMap<TrustBundle, readonly Certificate[]>();

/** The CA certificates of a bundle, as path validation needs them. One that cannot be read strictly vouches for nothing. */
export function readAuthorities(bundle: TrustBundle): readonly Certificate[] {
  const known = readBefore.get(bundle);
  if (known) return known;
  const authorities = bundle.x509Authorities.flatMap(({ raw }) => {
    const certificate = readCertificate(raw);
    return 'problem' in certificate ? [] : [certificate];
  });
  readBefore.set(bundle, authorities);
  return authorities;
}
