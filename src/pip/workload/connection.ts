import { type Refusal, isRefusal, refuse } from '../../pdp/decision.ts';
import type { ProvenWorkload, SourceCertificate, WorkloadIdentity } from '../../pdp/identity.ts';
import { type SvidVerifier, isSvidProblem } from '../../pdp/x509-svid.ts';
import type { Received } from '../../pdp/trace.ts';
import {
  type CertificateReader,
  type CertificateReading,
  certificateConflict,
  refuseCertificate,
} from './peer-certificate.ts';
import { printable } from '../printable.ts';
import type { Principal } from './principal.ts';

/** What the PEP says about the connection that a request came on. */
export interface Connection {
  readonly source?: ProvenWorkload;
  readonly destination?: WorkloadIdentity;
  readonly certificate?: SourceCertificate;
}

/** How {@link createConnectionReader} judges. */
export interface ConnectionRules {
  readonly principals: (principal: string) => Principal | Refusal | undefined;
  readonly certificates: CertificateReader;
  /** Verifies certificates by our trust bundles; absent where none are configured: then a certificate alone proves nobody. */
  readonly verify?: SvidVerifier;
  /** `chain`: the certificate must be sent along, and be an X.509-SVID by `verify`. */
  readonly sourceCertificates: 'agree' | 'chain';
}

/**
 * Reads both ends of the connection: the principals that the PEP authenticated by mutual TLS, and the certificate of the source.
 * Principal and certificate must say the same (`evidence_conflict`). Without a principal, a certificate that is an X.509-SVID by
 * our own trust bundles proves the source; one that claims a SPIFFE ID and is none by them, or cannot be read, is
 * `workload_evidence_invalid`. A certificate that claims no SPIFFE ID proves nobody, and is still told of by its fingerprint.
 */
export function createConnectionReader(rules: ConnectionRules): (received: Received) => Connection | Refusal {
  const { principals, certificates } = rules;
  return (received) => {
    const { source, destination } = received.request;
    const principal = principals(source.principal);
    if (principal && isRefusal(principal)) return principal;
    const target = principals(destination.principal);
    if (target && isRefusal(target)) return target;
    const reading = source.certificate === '' ? undefined : certificates(source.certificate);
    const proven = principal
      ? bornOut(principal, reading, rules, received)
      : shownAlone(source.principal, reading, rules, received.receivedAt);
    if (proven && isRefusal(proven)) return proven;
    return {
      ...(proven && { source: proven }),
      ...(target && { destination: target.identity }),
      ...(reading && !isRefusal(reading) && { certificate: reading.certificate }),
    };
  };
}

function bornOut(
  { proven }: Principal,
  reading: CertificateReading | Refusal | undefined,
  { sourceCertificates, verify }: ConnectionRules,
  { receivedAt, explained }: Received,
): ProvenWorkload | Refusal {
  if (reading && isRefusal(reading)) return reading;
  const conflict = reading && certificateConflict(reading, proven.id);
  if (conflict) return conflict;
  // Who asks for an explanation asserts the source, has no certificate of it, and nobody acts on the answer.
  if (sourceCertificates === 'agree' || explained) return proven;
  if (!reading || !verify) return NO_CERTIFICATE;
  const svid = verify([reading.der], receivedAt);
  if (!isSvidProblem(svid)) return proven;
  const detail = `the certificate of the source: ${svid.problem}`;
  return refuseCertificate('workload_evidence_invalid', detail, reading.certificate.fingerprint, svid.cause);
}

const NO_CERTIFICATE = refuse(
  'workload_evidence_invalid',
  'the PEP sent no certificate of the source to verify (include_peer_certificate)',
  { cause: 'missing' },
);

function shownAlone(
  principal: string,
  reading: CertificateReading | Refusal | undefined,
  { verify }: ConnectionRules,
  now: number,
): ProvenWorkload | Refusal | undefined {
  if (!reading) return undefined;
  if (isRefusal(reading)) return verify && unread(reading);
  if (!reading.claimsSpiffeId) return undefined;
  const { certificate, der, uris } = reading;
  // A PEP that names the peer by DNS name or subject has found no URI in the certificate.
  if (principal !== '')
    return refuseCertificate(
      'evidence_conflict',
      `the PEP names no workload, the certificate it sent says ${uris?.slice(0, 4).map(printable).join(', ') ?? 'one'}`,
      certificate.fingerprint,
      'conflict',
    );
  const svid = verify?.([der], now);
  if (!svid) return undefined;
  if (!isSvidProblem(svid)) return { ...svid.identity, evidence: 'certificate', provenUntil: svid.notAfter };
  const detail = `the certificate of the source, without a principal: ${svid.problem}`;
  return refuseCertificate('workload_evidence_invalid', detail, certificate.fingerprint, svid.cause);
}

/** Nothing contradicts it where there is no principal: it is bad by itself. */
function unread({ detail, evidence, cause }: Refusal): Refusal {
  return refuse('workload_evidence_invalid', detail, {
    ...(evidence !== undefined && { evidence }),
    ...(cause && { cause }),
  });
}
