import type { Config } from '../config.ts';
import type { WorkloadAuthenticator } from '../pdp/ports.ts';
import type { TrustBundles } from '../pdp/x509-svid.ts';
import { createCachedSvidVerifier } from '../pip/spiffe/x509/cached-svid-verifier.ts';
import { createSpiffeMatcher } from '../pip/spiffe/spiffe-matcher.ts';
import type { TokenVerifier } from '../pip/token/token-verifier.ts';
import { createWorkloadAuthenticator } from '../pip/workload/workload.ts';
import { createJwtSvidReader, isJwtSvid } from '../pip/workload/jwt-svid.ts';
import { createKubernetesTokenReader } from '../pip/workload/kubernetes-token.ts';
import type { WorkloadTokenReader } from '../pip/workload/token-header.ts';
import type { XfccRules } from '../pip/workload/xfcc-chain.ts';

/** What the evidence about workloads is verified by. */
export interface WorkloadParts {
  readonly verifier: TokenVerifier;
  /** The trust bundles in force. Absent: none are configured, and no certificate is verified. */
  readonly bundles?: (() => TrustBundles) | undefined;
}

/** No trust domain is trusted. */
const NO_BUNDLES: TrustBundles = new Map();

/** Tells the bearer tokens that are a workload's from those that are a user's, where `authorization` may hold either. */
export function workloadTokenRule({ jwt_svid: jwtSvid }: Config['workloads']): (token: string) => boolean {
  return jwtSvid?.header === 'authorization' ? isJwtSvid : () => false;
}

/** Wires the evidence that is configured; none that is not is ever read. Throws `InputError` for patterns that are none. */
export function openWorkloads(
  { workloads, issuers }: Pick<Config, 'workloads' | 'issuers'>,
  { verifier, bundles: configured }: WorkloadParts,
): WorkloadAuthenticator {
  const { xfcc, client_cert: clientCert } = workloads;
  const bundles = configured ?? (() => NO_BUNDLES);
  const verify = createCachedSvidVerifier(bundles);
  return createWorkloadAuthenticator({
    ...(configured && { verify }),
    sourceCertificates: workloads.verify_source_certificates,
    ...(xfcc && { xfcc: xfccRules(xfcc) }),
    ...(clientCert && { clientCert: { verify, from: matcher(clientCert.from) } }),
    tokens: tokenReaders({ workloads, issuers }, { verifier, bundles }),
  });
}

function xfccRules({
  from,
  proxies,
  trusted_hops: trustedHops,
  require_by: requireBy,
}: NonNullable<Config['workloads']['xfcc']>): XfccRules {
  return { trustedHops, requireBy, from: matcher(from), proxies: matcher(proxies) };
}

function matcher(patterns: readonly string[]): XfccRules['from'] {
  const list = createSpiffeMatcher(patterns);
  return (identity) => list.matches(identity);
}

function tokenReaders(
  { workloads, issuers }: Pick<Config, 'workloads' | 'issuers'>,
  { verifier, bundles }: Pick<WorkloadParts, 'verifier'> & { readonly bundles: () => TrustBundles },
): WorkloadTokenReader[] {
  const { jwt_svid: jwtSvid, kubernetes_token: kubernetes } = workloads;
  const clusters = issuers.flatMap((issuer) =>
    issuer.use === 'workload' && issuer.kubernetes
      ? ([[issuer.name, issuer.kubernetes.trust_domain]] as const)
      : [],
  );
  const readers = [];
  if (jwtSvid) readers.push(createJwtSvidReader({ ...jwtSvid, bundles }));
  if (clusters.length > 0)
    readers.push(
      createKubernetesTokenReader({ verifier, trustDomains: new Map(clusters), header: kubernetes.header }),
    );
  return readers;
}
