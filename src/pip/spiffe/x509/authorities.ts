import { X509Certificate } from 'node:crypto';
import { messageOf } from '../../../pdp/errors.ts';
import type { TrustBundle } from '../../../pdp/x509-svid.ts';
import { type Certificate, readCertificate } from './certificate.ts';
import { keyFloorProblem } from './crypto-floor.ts';

/** Why a text is not a bundle, in words that continue "the bundle …". */
export interface BundleProblem {
  readonly problem: string;
}

/** Reads a certificate (PEM or DER) that is to stand in a bundle: a CA's, with a key that is strong enough. Never throws. */
export function readAuthority(
  certificate: string | Buffer,
): { readonly authority: X509Certificate } | BundleProblem {
  try {
    const authority = new X509Certificate(certificate);
    const read = readCertificate(typeof certificate === 'string' ? authority.raw : certificate);
    if ('problem' in read) return { problem: `holds a certificate that ${read.problem}` };
    const name = authority.subject.replaceAll('\n', ', ').slice(0, 200);
    if (!read.isCa) return { problem: `holds the certificate '${name}', which is not that of a CA` };
    const weak = keyFloorProblem(authority.publicKey);
    return weak === undefined ? { authority } : { problem: `holds the certificate '${name}', which ${weak}` };
  } catch (error) {
    return { problem: `holds a certificate that cannot be read (${messageOf(error).slice(0, 120)})` };
  }
}

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
