import { InputError, type Problem } from '../../../pdp/errors.ts';
import { fetchUrlProblem } from '../../../pdp/fetch-url.ts';
import type { Log } from '../../../pdp/log.ts';
import type { Clock } from '../../../pdp/ports.ts';
import type { BundleHealth, TrustBundles } from '../../../pdp/x509-svid.ts';
import { parseSpiffeId, trustDomainProblem } from '../spiffe-id.ts';
import {
  type BundleEndpoint,
  type FederationTimes,
  type FollowedEndpoint,
  followEndpoint,
  trustedBundles,
} from './federation-endpoint.ts';
import { createListeners } from '../listeners.ts';

/** The bundles of federated trust domains, each on its own, kept fresh from their endpoints. */
export interface FederatedBundles extends AsyncDisposable {
  /** Those that may be trusted now; replaced as a whole. */
  readonly bundles: TrustBundles;
  /** Of each that is configured. */
  readonly health: readonly BundleHealth[];
  /** Calls `listener` after every change of `bundles`; returns how to stop that. */
  onChange(listener: () => void): () => void;
  /** Fetches each once, and keeps following them. Never rejects. */
  start(): Promise<void>;
}

/** Settings of {@link createFederatedBundles}. */
export interface FederatedBundlesOptions {
  readonly bundles: readonly BundleEndpoint[];
  /** Bundles from elsewhere (our SVID source), by which servers of https_spiffe endpoints may be verified too. */
  readonly others?: () => TrustBundles;
  readonly clock: Clock;
  readonly log: Log;
  readonly times?: Partial<FederationTimes>;
}

const TIMES: FederationTimes = {
  floorMs: 10_000,
  ceilingMs: 3_600_000,
  defaultMs: 300_000,
  retryMs: 5_000,
  staleMs: 3_600_000,
  timeoutMs: 5_000,
};

/**
 * Makes the federated bundles (SPIFFE Federation §4-5). A bundle that was good stays in use while its endpoint fails, for `staleMs`;
 * bundles are never merged. Throws `InputError` for endpoints that cannot be asked safely, with every problem.
 */
export function createFederatedBundles(options: FederatedBundlesOptions): FederatedBundles {
  const { clock, log, others } = options;
  const problems = configurationProblems(options.bundles);
  if (problems.length > 0) throw new InputError('federated bundles cannot be fetched', problems);
  const listeners = createListeners(log);
  let bundles: TrustBundles = new Map();
  const changed = (): void => {
    bundles = trustedBundles(endpoints);
    listeners.tell('a federated bundle');
  };
  const newest = (trustDomain: string) =>
    endpoints.find((endpoint) => endpoint.trustDomain === trustDomain)?.newest ?? others?.().get(trustDomain);
  const times = { ...TIMES, ...options.times };
  const endpoints: readonly FollowedEndpoint[] = options.bundles.map((endpoint) => {
    const { staleMs = times.staleMs } = endpoint;
    return followEndpoint(endpoint, { clock, log, times: { ...times, staleMs }, newest, changed });
  });
  const start = async (): Promise<void> =>
    void (await Promise.all(endpoints.map((endpoint) => endpoint.start())));
  let started: Promise<void> | undefined;
  return {
    get bundles() {
      return bundles;
    },
    get health() {
      return endpoints.map(({ health }) => health);
    },
    onChange: (listener) => listeners.add(listener),
    start: () => (started ??= start()),
    async [Symbol.asyncDispose]() {
      listeners.clear();
      for (const endpoint of endpoints) endpoint[Symbol.dispose]();
    },
  };
}

/** Why nothing may be fetched from this URL of a bundle endpoint, in words; `undefined` where it may (SPIFFE Federation §5.2.1.1). */
export function bundleUrlProblem(url: string): string | undefined {
  const problem = fetchUrlProblem(url);
  if (problem !== undefined) return problem;
  return URL.parse(url)?.protocol === 'https:' ? undefined : 'is not https';
}

function configurationProblems(endpoints: readonly BundleEndpoint[]): readonly Problem[] {
  const names = endpoints.map(({ trustDomain }) => trustDomain);
  return endpoints.flatMap(({ trustDomain: where, url, profile }, index) => {
    const name = trustDomainProblem(where);
    const address = bundleUrlProblem(url);
    const identity = profile.kind === 'https_spiffe' ? parseSpiffeId(profile.spiffeId) : undefined;
    const id = identity && 'invalid' in identity ? identity.invalid : undefined;
    return [
      ...(name === undefined ? [] : [{ where, message: `the trust domain ${name}` }]),
      ...(names.indexOf(where) === index
        ? []
        : [{ where, message: 'has two endpoints; bundles are never merged' }]),
      ...(address === undefined ? [] : [{ where, message: `the URL ${address}` }]),
      ...(id === undefined ? [] : [{ where, message: `the SPIFFE ID ${id}` }]),
    ];
  });
}
