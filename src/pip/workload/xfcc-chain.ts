import { type EvidenceCause, type Refusal, isRefusal, refuse } from '../../pdp/decision.ts';
import type { ProvenWorkload, SourceCertificate, WorkloadIdentity } from '../../pdp/identity.ts';
import type { Received } from '../../pdp/trace.ts';
import { singleEvidence, withEvidence } from '../evidence.ts';
import { type CertificateReader, certificateConflict } from './peer-certificate.ts';
import { printable } from '../printable.ts';
import { normalisePrincipal } from '../spiffe/spiffe-id.ts';
import type { Connection } from './connection.ts';
import { type XfccElement, parseXfcc } from './xfcc.ts';

/** Whose `x-forwarded-client-cert` is believed, and how far back. */
export interface XfccRules {
  /** Elements that are believed, counted from the right; 1 to 8. */
  readonly trustedHops: number;
  /** PEPs that write the last element themselves; the header of any other is never read. */
  readonly from: (pep: WorkloadIdentity) => boolean;
  /** Proxies in front of the PEP whose own elements are believed; all others may write what they like. */
  readonly proxies: (proxy: WorkloadIdentity) => boolean;
  /** Whether believed elements without `By` are refused. */
  readonly requireBy: boolean;
}

/** What the believed elements prove, and what the others claim. */
export interface XfccEvidence {
  /** The client of the PEP. */
  readonly source?: ProvenWorkload;
  /** The client of the first proxy that is believed. */
  readonly origin?: ProvenWorkload;
  /** URIs in the elements further left. */
  readonly claimed: readonly string[];
  readonly certificate?: SourceCertificate;
}

const HEADER = 'x-forwarded-client-cert';
const MAX_CLAIMED = 16;
const LONGEST_CLAIM = 2048;

/**
 * Reads `x-forwarded-client-cert` of a PEP that is trusted to write it. The last element is the PEP's: its `By` must name the PEP or
 * the destination. An element further left was written by the client of the next one, which must be one of `proxies`
 * and be named by `By`: anybody else who reaches the PEP could write anything there. What is left of the believed elements
 * is claimed, never proven. The header is parsed whole or refused: `workload_evidence_invalid`. Contradictions with the
 * connection are `evidence_conflict`. `undefined`: there is no such evidence.
 */
export function readXfcc(
  rules: XfccRules,
  certificates: CertificateReader,
  { request, pep }: Received,
  connection: Connection,
): XfccEvidence | Refusal | undefined {
  if (!pep.workload || !rules.from(pep.workload)) return undefined;
  const header = singleEvidence(request, HEADER, invalid('malformed', 'is sent more than once'));
  if (typeof header !== 'string') return header;
  const sent = { header, pep: pep.workload, principal: request.source.principal };
  const found = readHeader(rules, certificates, sent, connection);
  return found && isRefusal(found) ? withEvidence(found, header) : found;
}

interface Sent {
  readonly header: string;
  readonly pep: WorkloadIdentity;
  readonly principal: string;
}

function readHeader(
  rules: XfccRules,
  certificates: CertificateReader,
  { header, pep, principal }: Sent,
  connection: Connection,
): XfccEvidence | Refusal | undefined {
  const elements = parseXfcc(header);
  if ('problem' in elements) return invalid('malformed', elements.problem);
  const last = elements.at(-1);
  if (!last) return undefined;
  const hops = [pep.id, ...(connection.destination ? [connection.destination.id] : [])];
  const client = readElement(last, hops, rules);
  if (client && isRefusal(client)) return client;
  const certificate = certificateOf(last, client, certificates, connection);
  if (certificate && isRefusal(certificate)) return certificate;
  const source = agreed(client, connection, principal);
  if (source && isRefusal(source)) return source;
  const further = readFurther(elements, source, rules);
  if (isRefusal(further)) return further;
  return {
    ...(source && { source }),
    ...(further.origin && { origin: further.origin }),
    claimed: claimedNames(elements.slice(0, elements.length - further.believed)),
    ...(certificate && { certificate }),
  };
}

/** Walks from the PEP's client to the left, as long as the one who wrote the next element is a proxy that is believed. */
function readFurther(
  elements: readonly XfccElement[],
  source: WorkloadIdentity | undefined,
  rules: XfccRules,
): { readonly origin?: ProvenWorkload; readonly believed: number } | Refusal {
  let writer = source;
  let origin: ProvenWorkload | undefined;
  let believed = 1;
  while (believed < rules.trustedHops && writer && rules.proxies(writer)) {
    const element = elements.at(-1 - believed);
    if (!element) break;
    const client = readElement(element, [writer.id], rules);
    if (client && isRefusal(client)) return client;
    // A client without a SPIFFE ID ends the chain: nobody is known to have asked first.
    origin = client;
    writer = client;
    believed += 1;
  }
  return { ...(origin && { origin }), believed };
}

/** Who the client of a believed element is; `undefined` where its certificate held no URI. */
function readElement(
  { by, uri }: XfccElement,
  hops: readonly string[],
  { requireBy }: XfccRules,
): ProvenWorkload | Refusal | undefined {
  const names = by.map((name) => normalisePrincipal(name));
  const isLinked = names.some((name) => !('invalid' in name) && hops.includes(name.id));
  if (!isLinked && (requireBy || by.length > 0)) {
    const seen = by.length === 0 ? 'missing' : by.slice(0, 4).map(printable).join(', ');
    return invalid('hops', `has an element whose By is ${seen}, expected ${hops.join(' or ')}`);
  }
  const [name, ...others] = uri;
  if (name === undefined) return undefined;
  if (others.length > 0) return invalid('spiffe_id', 'has a believed element with more than one URI');
  const identity = normalisePrincipal(name);
  if ('invalid' in identity)
    return invalid('spiffe_id', `has a believed URI ${printable(name)} that ${identity.invalid}`);
  return { ...identity, evidence: 'xfcc' };
}

function agreed(
  client: ProvenWorkload | undefined,
  { source }: Connection,
  principal: string,
): ProvenWorkload | Refusal | undefined {
  if (!client || source?.id === client.id) return source;
  if (!source && principal === '') return client;
  const named = source?.id ?? printable(principal);
  return conflicting(`the PEP says ${named}, its ${HEADER} says ${client.id}`);
}

function certificateOf(
  { hash, cert }: XfccElement,
  client: WorkloadIdentity | undefined,
  certificates: CertificateReader,
  { certificate }: Connection,
): SourceCertificate | Refusal | undefined {
  if (hash !== undefined && !/^[0-9A-Fa-f]{64}$/.test(hash))
    return invalid('malformed', 'has a Hash that is no SHA-256');
  const reading = cert === undefined ? undefined : certificates(cert);
  if (reading && isRefusal(reading)) return reading;
  const conflict = reading && client && certificateConflict(reading, client.id);
  if (conflict) return conflict;
  const hashed = hash === undefined ? undefined : Buffer.from(hash, 'hex').toString('base64url');
  const known = [certificate?.fingerprint, reading?.certificate.fingerprint, hashed];
  const [fingerprint, ...others] = new Set(known.filter((print) => print !== undefined));
  if (others.length > 0)
    return conflicting(`the certificate of the source and ${HEADER} have different fingerprints`);
  return certificate ?? reading?.certificate ?? (fingerprint === undefined ? undefined : { fingerprint });
}

function claimedNames(elements: readonly XfccElement[]): readonly string[] {
  const names = elements.flatMap(({ uri }) => uri).filter((name) => name.length <= LONGEST_CLAIM);
  return [...new Set(names)].slice(-MAX_CLAIMED);
}

function invalid(cause: EvidenceCause, problem: string): Refusal {
  return refuse('workload_evidence_invalid', `${HEADER} ${problem}`, { cause });
}

function conflicting(detail: string): Refusal {
  return refuse('evidence_conflict', detail, { cause: 'conflict' });
}
