import { X509Certificate, hash } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import { type DenyReason, type EvidenceCause, type Refusal, refuse } from '../../pdp/decision.ts';
import type { SourceCertificate } from '../../pdp/identity.ts';
import { uriNames } from '../../pdp/subject-alt-name.ts';
import { withEvidence } from '../evidence.ts';
import { printable } from '../printable.ts';

/** Longest certificate looked at, in characters of its URL-encoded PEM form. */
const MAX_LENGTH = 32_768;

/** A certificate, read and not verified. */
export interface CertificateReading {
  readonly certificate: Required<SourceCertificate>;
  readonly der: Uint8Array;
  /** The URIs of its subject alternative name; absent where they cannot be told for certain. */
  readonly uris?: readonly string[];
  /** Whether it holds a URI that is a SPIFFE ID, or looks like one: the scheme in any case. Nothing is verified. */
  readonly claimsSpiffeId: boolean;
}

/** Reads the URL-encoded PEM of one certificate. Refuses (`evidence_conflict`) what is none. */
export type CertificateReader = (certificate: string) => CertificateReading | Refusal;

/**
 * Makes a reader of the certificates that PEPs send along. Readings of the last `maxEntries` certificates are remembered: reading one
 * takes about a hundred microseconds.
 */
export function createCertificateReader(maxEntries = 1024): CertificateReader {
  const readings = new LRUCache<string, CertificateReading | Refusal>({ max: maxEntries });
  return (certificate) => {
    if (certificate.length > MAX_LENGTH) return unreadable(certificate, 'is too long to be one');
    let reading = readings.get(certificate);
    if (!reading) readings.set(certificate, (reading = readPem(certificate)));
    return reading;
  };
}

/**
 * Checks a PEP's word against the certificate that it sent: an X.509-SVID holds exactly one URI (X509-SVID §2), and evidence that
 * contradicts itself denies (docs/workload-evidence.md): `evidence_conflict`.
 */
export function certificateConflict(
  { uris, certificate }: CertificateReading,
  spiffeId: string,
): Refusal | undefined {
  const [uri] = uris ?? [];
  const isOne = uri !== undefined && uris?.length === 1;
  if (isOne && uri === spiffeId) return undefined;
  const problem = isOne
    ? `the PEP says ${spiffeId}, the certificate it sent says ${printable(uri)}`
    : `the certificate of the source does not hold exactly one URI (${uris?.length ?? 'unclear'})`;
  return refuseCertificate('evidence_conflict', problem, certificate.fingerprint, 'conflict');
}

/** A refusal of a certificate, by which it can be found again. */
export function refuseCertificate(
  reason: DenyReason,
  detail: string,
  fingerprint: string,
  cause: EvidenceCause,
): Refusal {
  return refuse(reason, detail, { evidence: `sha256:${fingerprint}`, cause });
}

/** The fingerprint of a certificate in DER: `x5t#S256`, base64url (RFC 8705 §3.1). */
export function certificateFingerprint(der: Uint8Array): string {
  return hash('sha256', der, 'base64url');
}

/** Reads one certificate in DER or PEM. Throws where it is none. */
export function readSourceCertificate(encoded: Uint8Array | string): CertificateReading {
  const { raw, issuer, subjectAltName } = new X509Certificate(encoded);
  const uris = uriNames(subjectAltName);
  return {
    certificate: { fingerprint: certificateFingerprint(raw), issuer: issuer.replaceAll('\n', ', ') },
    der: raw,
    claimsSpiffeId: claimsSpiffeId(subjectAltName, uris),
    ...(uris && { uris }),
  };
}

/** Where the names cannot be told apart for certain, whatever may be such a URI counts as one. */
function claimsSpiffeId(subjectAltName = '', uris?: readonly string[]): boolean {
  return uris ? uris.some((uri) => /^spiffe:/i.test(uri)) : /URI:"?spiffe:/i.test(subjectAltName);
}

function unreadable(certificate: string, problem: string): Refusal {
  const detail = `the certificate of the source ${problem}`;
  return withEvidence(refuse('evidence_conflict', detail, { cause: 'malformed' }), certificate);
}

function readPem(certificate: string): CertificateReading | Refusal {
  try {
    return readSourceCertificate(decodeURIComponent(certificate));
  } catch {
    return unreadable(certificate, 'cannot be read');
  }
}
