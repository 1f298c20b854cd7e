import { X509Certificate } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import { type Refusal, isRefusal, refuse } from '../pdp/decision.ts';
import { uriNames } from '../pdp/subject-alt-name.ts';

/** Longest certificate looked at, in characters of its URL-encoded PEM form. */
const MAX_LENGTH = 32_768;

/** Checks that a certificate bears out the identity that the PEP took from it. */
export interface CertificateCheck {
  /** Refuses (`evidence_conflict`) a certificate that is not readable, does not hold exactly one URI, or holds another one. */
  (certificate: string, spiffeId: string): Refusal | undefined;
}

/**
 * Makes the check of a PEP's word against the certificate that it sent along (URL-encoded PEM of the leaf). An X.509-SVID holds
 * exactly one URI (X509-SVID §2); evidence that contradicts itself denies (design §4.2). Readings of the last `maxEntries`
 * certificates are remembered: reading one takes about a hundred microseconds.
 */
export function createCertificateCheck(maxEntries = 1024): CertificateCheck {
  const readings = new LRUCache<string, { readonly uri: string } | Refusal>({ max: maxEntries });
  return (certificate, spiffeId) => {
    let reading = readings.get(certificate);
    if (!reading) readings.set(certificate, (reading = read(certificate)));
    if (isRefusal(reading)) return reading;
    return reading.uri === spiffeId
      ? undefined
      : refuse('evidence_conflict', `the PEP says ${spiffeId}, the certificate it sent says ${reading.uri}`);
  };
}

function read(certificate: string): { readonly uri: string } | Refusal {
  if (certificate.length > MAX_LENGTH)
    return refuse('evidence_conflict', 'the certificate of the source is too long to be one');
  try {
    const uris = uriNames(new X509Certificate(decodeURIComponent(certificate)).subjectAltName);
    const [uri] = uris ?? [];
    if (uri !== undefined && uris?.length === 1) return { uri };
    return refuse(
      'evidence_conflict',
      `the certificate of the source does not hold exactly one URI (${uris?.length ?? 'unclear'})`,
    );
  } catch {
    return refuse('evidence_conflict', 'the certificate of the source cannot be read');
  }
}
