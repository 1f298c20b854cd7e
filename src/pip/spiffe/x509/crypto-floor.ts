import type { KeyObject } from 'node:crypto';
import type { Certificate } from './certificate.ts';

const MIN_RSA_BITS = 2048;
// Verifying with larger keys costs milliseconds, and whoever connects chooses them.
const MAX_RSA_BITS = 8192;

const RSA_PSS = '1.2.840.113549.1.1.10';

const SIGNATURES: ReadonlySet<string> = new Set([
  '1.2.840.113549.1.1.11', // RSA with SHA-256
  '1.2.840.113549.1.1.12', // RSA with SHA-384
  '1.2.840.113549.1.1.13', // RSA with SHA-512
  '1.2.840.10045.4.3.2', // ECDSA with SHA-256
  '1.2.840.10045.4.3.3', // ECDSA with SHA-384
  '1.2.840.10045.4.3.4', // ECDSA with SHA-512
  '1.3.101.112', // Ed25519
]);

const CURVES: ReadonlySet<string> = new Set(['prime256v1', 'secp384r1', 'secp521r1']);

// RSASSA-PSS-params (RFC 4055 §3.1) that begin with a hash algorithm of SHA-256, SHA-384 or SHA-512; the default is SHA-1.
const PSS_WITH_SHA2 = /^30..a0..30..060960864801650304020[123]/;

/** Why the signature on a certificate is too weak to count, in words that continue "the certificate …". */
export function signatureFloorProblem(certificate: Certificate): string | undefined {
  const { signatureAlgorithm, signatureParameters } = certificate;
  if (SIGNATURES.has(signatureAlgorithm)) return undefined;
  if (signatureAlgorithm === RSA_PSS && PSS_WITH_SHA2.test(signatureParameters.toString('hex')))
    return undefined;
  return `is signed with ${signatureAlgorithm}, which is not RSA, ECDSA or Ed25519 with SHA-256 or better`;
}

/** Why a public key is too weak, or of a kind, not to be used, in words that continue "the certificate …". */
export function keyFloorProblem(key: KeyObject): string | undefined {
  const { asymmetricKeyType: type, asymmetricKeyDetails: details } = key;
  if (type === 'ed25519') return undefined;
  if (type === 'rsa' || type === 'rsa-pss') {
    const bits = details?.modulusLength ?? 0;
    if (bits < MIN_RSA_BITS) return `has an RSA key of ${bits} bits; ${MIN_RSA_BITS} are needed`;
    return bits > MAX_RSA_BITS ? `has an RSA key of ${bits} bits; ${MAX_RSA_BITS} are the most` : undefined;
  }
  if (type === 'ec' && CURVES.has(details?.namedCurve ?? '')) return undefined;
  return 'has a key that is not RSA, Ed25519, or on the curves P-256, P-384 or P-521';
}
