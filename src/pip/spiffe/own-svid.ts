import { type KeyObject, X509Certificate, createPrivateKey } from 'node:crypto';
import type { SvidProblem, TrustBundles, X509Svid } from '../../pdp/x509-svid.ts';
import { findSvid } from './x509/verify-svid.ts';

const CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g;
const MAX_CHARACTERS = 131_072;

/**
 * Reads a certificate chain (PEM, leaf first) and its private key (PEM) as an SVID of our own, and holds it to the rules that peers
 * would hold it to, as client and as server: what they would refuse is better noticed here. Never throws; no problem holds key material.
 */
export function readOwnSvid(
  certificates: string,
  key: string,
  bundles: TrustBundles,
  now: number,
): X509Svid | SvidProblem {
  const privateKey = readKey(key);
  if ('problem' in privateKey) return privateKey;
  const chain = readChain(certificates);
  if ('problem' in chain) return chain;
  const [leaf] = chain;
  if (!leaf.checkPrivateKey(privateKey))
    return malformed('the private key does not belong to the certificate; a rotation may be half done');
  const finding = findSvid(
    chain.map(({ raw }) => raw),
    bundles,
    now,
    ['client', 'server'],
  );
  if ('problem' in finding) return finding;
  return {
    identity: finding.svid.identity,
    certificateChain: chain.map(String).join(''),
    privateKey: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
    notBefore: leaf.validFromDate.getTime(),
    // Peers refuse it from the first expiry of its path on, whichever certificate that is of.
    notAfter: finding.svid.notAfter,
  };
}

function readKey(key: string): KeyObject | SvidProblem {
  if (key.includes('ENCRYPTED'))
    return malformed('the private key is encrypted, and there is no passphrase for it');
  try {
    return createPrivateKey(key);
  } catch {
    return malformed('the private key cannot be read; PEM of PKCS #8, PKCS #1 or SEC 1 is expected');
  }
}

function readChain(certificates: string): readonly [X509Certificate, ...X509Certificate[]] | SvidProblem {
  if (certificates.length > MAX_CHARACTERS)
    return malformed(`the certificates are longer than ${MAX_CHARACTERS} characters`);
  try {
    const [leaf, ...rest] = (certificates.match(CERTIFICATE) ?? []).map((pem) => new X509Certificate(pem));
    return leaf ? [leaf, ...rest] : { cause: 'missing', problem: 'there is no certificate in PEM' };
  } catch {
    return malformed('a certificate cannot be read; PEM is expected');
  }
}

function malformed(problem: string): SvidProblem {
  return { cause: 'malformed', problem };
}
