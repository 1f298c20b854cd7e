import { setTimeout as delay } from 'node:timers/promises';
import { type Trust, identityProblem } from '../api/tls/tls-listener.ts';
import type { Config } from '../config.ts';
import type { Log } from '../pdp/log.ts';
import type { Clock } from '../pdp/ports.ts';
import type { BundleHealth, SvidHealth, SvidSource, X509Svid } from '../pdp/x509-svid.ts';
import { combineSvidSources } from '../pip/spiffe/bundle/federation-combine.ts';
import type { BundleEndpoint } from '../pip/spiffe/bundle/federation-endpoint.ts';
import { createFederatedBundles } from '../pip/spiffe/bundle/federation.ts';
import { createOccasionally } from '../pip/occasionally.ts';
import { createSvidFiles } from '../pip/spiffe/svid-files.ts';
import { createSvidVerifier } from '../pip/spiffe/x509/verify-svid.ts';
import { findWorkloadApiEndpoint } from '../pip/spiffe/workload-api/workload-api-endpoint.ts';
import { createWorkloadApiSource } from '../pip/spiffe/workload-api/workload-api.ts';
import type { Metrics } from '../telemetry.ts';

/** Our own SPIFFE identity, and how it is doing. */
export interface OwnIdentity {
  /** For the surfaces over mutual TLS. */
  readonly trust: Trust;
  /** Why we are not, or soon will not be, anybody: no valid SVID, or one near its end. In words. */
  problem(): string | undefined;
  /** What an operator should look at though we are somebody: an SVID or a bundle that was not taken, a bundle that is missing. */
  warnings(): readonly string[];
  /** Resolves when a valid SVID is held. Rejects when `signal` is aborted. */
  held(signal: AbortSignal | undefined): Promise<void>;
  /** Unix ms; 0 while no SVID is held. */
  expiresAt(): number;
  health(): SvidHealth;
}

/** What the identity needs. */
export interface IdentityParts {
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Pick<Metrics, 'connectionRefused' | 'svidTaken'>;
}

type Spiffe = NonNullable<Config['spiffe']>;

const LOOK_MS = 100;
const SAY_MS = 30_000;

/** Opens the sources of our SVID and of trust bundles, as configured; `stack` closes them. Throws `InputError` where they cannot be. */
export async function openIdentity(
  spiffe: Config['spiffe'],
  parts: IdentityParts,
  stack: AsyncDisposableStack,
): Promise<OwnIdentity | undefined> {
  if (!spiffe) return undefined;
  const { clock, log, metrics } = parts;
  const svids = stack.use(openSource(spiffe, parts));
  stack.defer(countSvids(svids, metrics));
  await svids.start();
  const verify = createSvidVerifier(() => svids.state.bundles);
  const unusable = (): string | undefined => {
    const problem = identityProblem(svids.state.svid, clock.now());
    return problem && withReason(problem, svids.health.problem);
  };
  return {
    trust: { svids, verify, clock, log, onRefused: metrics.connectionRefused },
    problem: () => unusable() ?? expiryProblem(svids.state.svid, spiffe.expiry_margin_s, clock.now()),
    warnings: () => warningsOf(svids),
    health: () => svids.health,
    expiresAt: () => svids.state.svid?.notAfter ?? 0,
    async held(signal) {
      const occasionally = createOccasionally(clock, SAY_MS);
      for (let problem = unusable(); problem !== undefined; problem = unusable()) {
        const fields = { source: spiffe.source, problem };
        occasionally(() => log.warn(fields, 'waiting for an SVID of our own before mutual TLS opens'));
        await delay(LOOK_MS, undefined, signal && { signal });
      }
    },
  };
}

function openSource(spiffe: Spiffe, parts: IdentityParts): SvidSource {
  const { clock, log } = parts;
  const own = openOwnSource(spiffe, parts);
  if (spiffe.federation.length === 0) return own;
  const bundles = spiffe.federation.map(endpointOf);
  const federated = createFederatedBundles({ bundles, others: () => own.state.bundles, clock, log });
  return combineSvidSources(
    own,
    federated,
    log,
    spiffe.bundles?.map(({ trust_domain: name }) => name),
  );
}

function openOwnSource(spiffe: Spiffe, { clock, log }: IdentityParts): SvidSource {
  if (spiffe.source === 'workload_api') {
    const { hint } = spiffe;
    const endpoint = findWorkloadApiEndpoint(spiffe.endpoint, process.env);
    return createWorkloadApiSource({ endpoint, ...(hint !== undefined && { hint }), clock, log });
  }
  const { cert_file: certFile = '', key_file: keyFile = '', bundles = [] } = spiffe;
  const files = bundles.map(({ trust_domain: trustDomain, file }) => ({ trustDomain, file }));
  return createSvidFiles({ certFile, keyFile, bundles: files, clock, log });
}

function endpointOf(endpoint: Spiffe['federation'][number]): BundleEndpoint {
  const { trust_domain: trustDomain, url, profile, endpoint_spiffe_id: spiffeId = '' } = endpoint;
  const { bundle_file: bundleFile, ca_file: caFile, stale_ceiling_ms: staleMs } = endpoint;
  const common = { trustDomain, url, staleMs };
  return profile === 'https_spiffe'
    ? { ...common, profile: { kind: profile, spiffeId, ...(bundleFile !== undefined && { bundleFile }) } }
    : { ...common, profile: { kind: profile, ...(caFile !== undefined && { caFile }) } };
}

function warningsOf({ state, health }: SvidSource): readonly string[] {
  const refusal =
    state.svid && health.problem !== undefined ? [`no new SVID was taken: ${health.problem}`] : [];
  const bundleWarning = ({ trustDomain, problem }: BundleHealth): string[] => {
    if (!state.bundles.has(trustDomain))
      return [withReason(`no usable bundle of trust domain '${trustDomain}'`, problem)];
    return problem === undefined
      ? []
      : [`the bundle of trust domain '${trustDomain}' is not renewed: ${problem}`];
  };
  return [...refusal, ...health.bundles.flatMap(bundleWarning)];
}

function withReason(text: string, reason: string | undefined): string {
  return reason === undefined ? text : `${text}: ${reason}`;
}

function countSvids(svids: SvidSource, metrics: IdentityParts['metrics']): () => void {
  let last: X509Svid | undefined;
  return svids.onChange(() => {
    const { svid } = svids.state;
    if (svid && svid !== last) metrics.svidTaken();
    last = svid;
  });
}

function expiryProblem(
  svid: X509Svid | undefined,
  marginSeconds: number | undefined,
  now: number,
): string | undefined {
  if (!svid) return undefined;
  const { notBefore, notAfter } = svid;
  const margin = marginSeconds === undefined ? (notAfter - notBefore) / 10 : marginSeconds * 1000;
  if (notAfter - now > margin) return undefined;
  return `our own SVID expires at ${new Date(notAfter).toISOString()} and no new one has come`;
}
