import { type Refusal, isRefusal, refuse } from '../../pdp/decision.ts';
import type { ProvenWorkload, SourceCertificate, WorkloadIdentity } from '../../pdp/identity.ts';
import type { Received } from '../../pdp/trace.ts';
import { type SvidVerifier, isSvidProblem } from '../../pdp/x509-svid.ts';
import { singleEvidence, withEvidence } from '../evidence.ts';
import { type CertificateReading, readSourceCertificate, refuseCertificate } from './peer-certificate.ts';

/** Whose `Client-Cert` is believed. */
export interface ClientCertRules {
  /** PEPs that write the header themselves, and drop what clients send; the header of any other is never read. */
  readonly from: (pep: WorkloadIdentity) => boolean;
  /** Verifies by our trust bundles. */
  readonly verify: SvidVerifier;
}

/** What the header proves. */
export interface ClientCertEvidence {
  readonly source?: ProvenWorkload;
  readonly certificate: SourceCertificate;
}

const HEADER = 'client-cert';
const CHAIN_HEADER = 'client-cert-chain';
const MAX_LENGTH = 65_536;
const MAX_CHAIN = 8;

/**
 * Reads `Client-Cert` and `Client-Cert-Chain` (RFC 9440 §2) of a PEP that is trusted to write them. The certificate is verified to
 * the bundle of its own trust domain; one without any URI names no workload. What cannot be read or verified is
 * `workload_evidence_invalid`. `undefined`: there is no such evidence.
 */
export function readClientCert(
  { from, verify }: ClientCertRules,
  { request, pep, receivedAt }: Received,
): ClientCertEvidence | Refusal | undefined {
  if (!pep.workload || !from(pep.workload)) return undefined;
  const leaf = singleEvidence(request, HEADER, malformed(`${HEADER} is sent more than once`));
  const chain = singleEvidence(request, CHAIN_HEADER, malformed(`${CHAIN_HEADER} is sent more than once`));
  if (chain !== undefined && typeof chain !== 'string') return chain;
  if (leaf === undefined)
    return chain === undefined
      ? undefined
      : withEvidence(malformed(`${CHAIN_HEADER} is sent without ${HEADER}`), chain);
  if (typeof leaf !== 'string') return leaf;
  const reading = readLeaf(leaf);
  if (isRefusal(reading)) return reading;
  const { certificate, der } = reading;
  if (reading.uris?.length === 0) return { certificate };
  const issuers = readChain(chain);
  if (isRefusal(issuers)) return issuers;
  const svid = verify([der, ...issuers], receivedAt);
  if (isSvidProblem(svid))
    return refuseCertificate(
      'workload_evidence_invalid',
      `the certificate in ${HEADER}: ${svid.problem}`,
      certificate.fingerprint,
      svid.cause,
    );
  return { source: { ...svid.identity, evidence: 'client_cert', provenUntil: svid.notAfter }, certificate };
}

function readLeaf(header: string): CertificateReading | Refusal {
  const der = byteSequence(header.trim());
  if (!der) return withEvidence(malformed(`${HEADER} is not a byte sequence`), header);
  try {
    return readSourceCertificate(der);
  } catch {
    return withEvidence(malformed(`${HEADER} holds no certificate`), header);
  }
}

function readChain(header: string | undefined): readonly Buffer[] | Refusal {
  if (header === undefined) return [];
  const members =
    header.length > MAX_LENGTH ? [] : header.split(',').map((member) => byteSequence(member.trim()));
  const isList = members.length > 0 && members.length <= MAX_CHAIN;
  if (isList && members.every((member) => member !== undefined)) return members;
  const words = `${CHAIN_HEADER} is not a list of at most ${MAX_CHAIN} byte sequences`;
  return withEvidence(malformed(words), header);
}

/** RFC 9651 §3.3.5, in canonical base64 and without parameters. */
function byteSequence(text: string): Buffer | undefined {
  const [, encoded] = text.length > MAX_LENGTH ? [] : (/^:([A-Za-z0-9+/]+={0,2}):$/.exec(text) ?? []);
  if (encoded === undefined) return undefined;
  const bytes = Buffer.from(encoded, 'base64');
  return bytes.toString('base64') === encoded ? bytes : undefined;
}

function malformed(detail: string): Refusal {
  return refuse('workload_evidence_invalid', detail, { cause: 'malformed' });
}
