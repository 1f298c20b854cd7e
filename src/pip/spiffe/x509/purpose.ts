import { anyExtendedKeyUsage, id_kp_clientAuth, id_kp_serverAuth } from '@peculiar/asn1-x509';
import type { Certificate } from './certificate.ts';

/** What the holder of an X.509-SVID does with it on a TLS connection. */
export type Purpose = 'client' | 'server';

const OIDS = { client: id_kp_clientAuth, server: id_kp_serverAuth };

/**
 * Why the extended key usage of a certificate, where it has one, does not allow all `purposes` (RFC 5280 §4.2.1.12), in words that
 * continue "the certificate …". Only a CA may say "any purpose": X509-SVID §4.4 has leaves name theirs.
 */
export function purposeProblem(
  certificate: Certificate,
  purposes: readonly Purpose[],
  isAuthority: boolean,
): string | undefined {
  const allowed = certificate.purposes;
  if (allowed === undefined || (isAuthority && allowed.includes(anyExtendedKeyUsage))) return undefined;
  const missing = purposes.find((purpose) => !allowed.includes(OIDS[purpose]));
  return missing && `has an extended key usage without ${missing}Auth`;
}
