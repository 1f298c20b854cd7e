import { X509Certificate } from 'node:crypto';
import { AsnConvert } from '@peculiar/asn1-schema';
import { Certificate as AsnCertificate, Version } from '@peculiar/asn1-x509';
import { messageOf } from '../../../pdp/errors.ts';
import { type Extensions, readExtensions } from './certificate-extensions.ts';
import { derChildren, derProblem } from './der-shape.ts';

/** A certificate that was read strictly. Nothing in it is verified. */
export interface Certificate extends Extensions {
  /** The same bytes as OpenSSL reads them: public key and signature. */
  readonly x509: X509Certificate;
  /** DER of the name of its issuer. */
  readonly issuer: Buffer;
  /** DER of its own name. */
  readonly subject: Buffer;
  /** Unix ms. */
  readonly notBefore: number;
  /** Unix ms. */
  readonly notAfter: number;
  /** OID of the algorithm that it is signed with. */
  readonly signatureAlgorithm: string;
  /** DER of the parameters of that algorithm, where it has some. */
  readonly signatureParameters: Buffer;
}

/** Why bytes are not a certificate, in words that continue "the certificate …". */
export interface UnreadableCertificate {
  readonly problem: string;
}

const MAX_BYTES = 32_768;
const EMPTY_NAME_BYTES = 2;

/** Reads one certificate (RFC 5280 §4) of version 3 in strict DER. Never throws. */
export function readCertificate(der: Uint8Array): Certificate | UnreadableCertificate {
  if (der.length > MAX_BYTES) return { problem: `is longer than ${MAX_BYTES} bytes` };
  const shape = derProblem(der);
  if (shape !== undefined) return { problem: `is not DER: it ${shape}` };
  try {
    return readParts(der, AsnConvert.parse(der, AsnCertificate));
  } catch (error) {
    return { problem: `cannot be read (${messageOf(error).slice(0, 120)})` };
  }
}

/** Whether the certificate has no name of its own (RFC 5280 §4.1.2.6). */
export function isNameless(certificate: Certificate): boolean {
  return certificate.subject.length === EMPTY_NAME_BYTES;
}

/** Why a certificate cannot be understood whole (RFC 5280 §4.2), in words that continue "the certificate …". */
export function criticalProblem(certificate: Certificate): string | undefined {
  const { unknownCritical } = certificate;
  if (unknownCritical.length === 0) return undefined;
  return `has a critical extension that is not processed (${unknownCritical.join(', ')})`;
}

function readParts(der: Uint8Array, asn: AsnCertificate): Certificate | UnreadableCertificate {
  const { tbsCertificate, signatureAlgorithm } = asn;
  if (tbsCertificate.version !== Version.v3) return { problem: 'is not of X.509 version 3' };
  if (signatureAlgorithm.algorithm !== tbsCertificate.signature.algorithm)
    return { problem: 'names two different signature algorithms' };
  const extensions = readExtensions(tbsCertificate.extensions ?? []);
  if ('problem' in extensions) return extensions;
  const x509 = new X509Certificate(der);
  const notBefore = x509.validFromDate.getTime();
  const notAfter = x509.validToDate.getTime();
  if (!Number.isFinite(notBefore) || !Number.isFinite(notAfter))
    return { problem: 'has a validity that cannot be read' };
  return {
    ...extensions,
    ...rawNames(der),
    x509,
    notBefore,
    notAfter,
    signatureAlgorithm: signatureAlgorithm.algorithm,
    signatureParameters: Buffer.from(signatureAlgorithm.parameters ?? new ArrayBuffer(0)),
  };
}

/** Names are compared as the bytes that were signed, so they are cut out rather than encoded again. */
function rawNames(der: Uint8Array): Pick<Certificate, 'issuer' | 'subject'> {
  const [body = der] = derChildren(der);
  const [, , , issuer, , subject] = derChildren(body);
  if (issuer === undefined || subject === undefined) throw new Error('a name is missing');
  return { issuer: Buffer.from(issuer), subject: Buffer.from(subject) };
}
