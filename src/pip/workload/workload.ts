import { type Refusal, isRefusal, refuse } from '../../pdp/decision.ts';
import { type ProvenWorkload, type Workloads, isMutualTls } from '../../pdp/identity.ts';
import type { WorkloadAuthenticator } from '../../pdp/ports.ts';
import type { Received } from '../../pdp/trace.ts';
import type { SvidVerifier } from '../../pdp/x509-svid.ts';
import { withEvidence } from '../evidence.ts';
import { createCertificateReader, refuseCertificate } from './peer-certificate.ts';
import { type ClientCertRules, readClientCert } from './client-cert.ts';
import { createConnectionReader } from './connection.ts';
import { createPrincipalReader } from './principal.ts';
import type { TokenWorkload, WorkloadTokenReader } from './token-header.ts';
import { type XfccRules, readXfcc } from './xfcc-chain.ts';

/** Settings of {@link createWorkloadAuthenticator}. Evidence that is not named here is never read. */
export interface WorkloadAuthenticatorOptions {
  /** Principals whose reading is remembered; default 4096. */
  readonly maxEntries?: number;
  /** Verifies certificates by our trust bundles; absent where none are configured. */
  readonly verify?: SvidVerifier;
  /**
   * What the certificate of the source must do: `agree` with the principal where it is sent, or be sent and verified to the bundle of its
   * trust domain (`chain`, which needs `verify`). Default `agree`: Envoy sends the leaf alone, so that a chain through an
   * intermediate CA cannot be built, and has verified the whole of it.
   */
  readonly sourceCertificates?: 'agree' | 'chain';
  /** `x-forwarded-client-cert`. */
  readonly xfcc?: XfccRules;
  /** `Client-Cert` (RFC 9440). */
  readonly clientCert?: ClientCertRules;
  /** Tokens of workloads: JWT-SVIDs, Kubernetes' service account tokens. */
  readonly tokens?: readonly WorkloadTokenReader[];
}

/**
 * Works out which workloads a request comes from. The source is who the PEP authenticated by mutual TLS; where it says nobody, whom
 * the forwarded certificate of a trusted PEP proves, and without that a token. The origin is who asked first, as far as trusted proxies
 * or a token reach further back. Evidence that contradicts other evidence denies (`evidence_conflict`); evidence that is there and no
 * good denies too; evidence that is missing is no identity. See docs/workload-evidence.md.
 */
export function createWorkloadAuthenticator(
  options: WorkloadAuthenticatorOptions = {},
): WorkloadAuthenticator {
  const { verify, xfcc, clientCert, tokens = [], sourceCertificates = 'agree' } = options;
  const certificates = createCertificateReader();
  const readConnection = createConnectionReader({
    principals: createPrincipalReader(options.maxEntries ?? 4096),
    certificates,
    sourceCertificates,
    ...(verify && { verify }),
  });
  return {
    authenticate(received, source) {
      let workloads: Workloads | Refusal = source ? { source } : readConnection(received);
      if (xfcc && !isRefusal(workloads)) {
        const forwarded = readXfcc(xfcc, certificates, received, workloads);
        workloads =
          forwarded && !isRefusal(forwarded) ? withXfcc(workloads, forwarded) : (forwarded ?? workloads);
      }
      if (clientCert && !isRefusal(workloads)) {
        const shown = readClientCert(clientCert, received);
        workloads = shown && !isRefusal(shown) ? withClientCert(workloads, shown) : (shown ?? workloads);
      }
      return tokens.length === 0 || isRefusal(workloads)
        ? workloads
        : withTokens(workloads, tokens, received);
    },
  };
}

function withXfcc(
  workloads: Workloads,
  { source, origin, claimed, certificate }: Exclude<NonNullable<ReturnType<typeof readXfcc>>, Refusal>,
): Workloads {
  return {
    ...workloads,
    ...(source && { source }),
    ...(origin && { origin }),
    ...(claimed.length > 0 && { claimedSources: claimed }),
    ...(certificate && { certificate }),
  };
}

function withClientCert(
  workloads: Workloads,
  { source, certificate }: Exclude<NonNullable<ReturnType<typeof readClientCert>>, Refusal>,
): Workloads | Refusal {
  const conflict = (detail: string): Refusal =>
    refuseCertificate('evidence_conflict', detail, certificate.fingerprint, 'conflict');
  const known = workloads.certificate?.fingerprint ?? certificate.fingerprint;
  if (known !== certificate.fingerprint)
    return conflict('client-cert and the certificate of the source have different fingerprints');
  if (workloads.source && source?.id !== workloads.source.id)
    return conflict(
      `client-cert names ${source?.id ?? 'no workload'}, and other evidence ${workloads.source.id}`,
    );
  const proven = workloads.source ?? source;
  return { ...workloads, ...(proven && { source: proven }), certificate };
}

/** Synchronous as long as no request holds a token. */
function withTokens(
  workloads: Workloads,
  tokens: readonly WorkloadTokenReader[],
  received: Received,
): Workloads | Refusal | Promise<Workloads | Refusal> {
  const readings: Promise<TokenWorkload | Refusal>[] = [];
  for (const read of tokens) {
    const reading = read(received);
    if (reading && !(reading instanceof Promise)) return reading;
    if (reading) readings.push(reading);
  }
  return readings.length === 0 ? workloads : placeAll(workloads, readings);
}

async function placeAll(
  workloads: Workloads,
  readings: readonly Promise<TokenWorkload | Refusal>[],
): Promise<Workloads | Refusal> {
  let placed: Workloads | Refusal = workloads;
  for (const proven of await Promise.all(readings)) {
    if (isRefusal(proven)) return proven;
    placed = place(placed, proven.workload);
    if (isRefusal(placed)) return withEvidence(placed, proven.token);
  }
  return placed;
}

/**
 * A token goes with the request, a certificate with the connection: where they name different workloads, a proxy stands between them,
 * and the token's is who asked first.
 */
function place(workloads: Workloads, workload: ProvenWorkload): Workloads | Refusal {
  const { source, origin } = workloads;
  if (!source) return { ...workloads, source: workload };
  if (source.id === workload.id) return workloads;
  if (isMutualTls(source) && !origin) return { ...workloads, origin: workload };
  const known = isMutualTls(source) ? origin : source;
  return known?.id === workload.id
    ? workloads
    : refuse(
        'evidence_conflict',
        `a token names ${workload.id}, and other evidence ${known?.id ?? source.id}`,
        { cause: 'conflict' },
      );
}
