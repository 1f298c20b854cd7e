import { messageOf } from '../../../pdp/errors.ts';
import type { Log } from '../../../pdp/log.ts';
import type { Clock } from '../../../pdp/ports.ts';
import { pauseMs } from '../../../pdp/retry-pause.ts';
import type { BundleHealth, TrustBundle, TrustBundles } from '../../../pdp/x509-svid.ts';
import { readSpiffeBundle } from './bundle-document.ts';
import { type EndpointProfile, authenticationOf } from './federation-authentication.ts';
import { fetchBundle } from './federation-fetch.ts';
import { type HeldBundle, createHeldBundle } from './federation-held.ts';

/** One bundle endpoint that is followed (SPIFFE Federation §5.1). */
export interface BundleEndpoint {
  /** The trust domain that its bundle is of. Nothing in the document or the URL says so. */
  readonly trustDomain: string;
  /** https, without credentials. */
  readonly url: string;
  readonly profile: EndpointProfile;
  /** In place of {@link FederationTimes.staleMs}. */
  readonly staleMs?: number;
}

/** How often an endpoint is asked, and how long its last answer counts. All in ms. */
export interface FederationTimes {
  /** Least and most time between two fetches, whatever the bundle's refresh hint says. */
  readonly floorMs: number;
  readonly ceilingMs: number;
  /** Time between two fetches where the bundle has no refresh hint. */
  readonly defaultMs: number;
  /** Pause after the first failure; doubled with each more, up to the time between fetches. */
  readonly retryMs: number;
  /** How long after its last confirmation a bundle is still trusted. */
  readonly staleMs: number;
  /** Limit on one fetch. */
  readonly timeoutMs: number;
}

/** What an endpoint is followed with. */
export interface EndpointSetting {
  readonly clock: Clock;
  readonly log: Log;
  readonly times: FederationTimes;
  /** The newest bundles at hand, however old, by which the servers of https_spiffe endpoints are verified. */
  readonly newest: (trustDomain: string) => TrustBundle | undefined;
  readonly changed: () => void;
}

/** An endpoint that is followed. */
export interface FollowedEndpoint extends Disposable {
  readonly trustDomain: string;
  /** What may be trusted now; `undefined` before the first answer, and once the last is too old. */
  readonly trusted: TrustBundle | undefined;
  /** The newest answer, however old. */
  readonly newest: TrustBundle | undefined;
  readonly health: BundleHealth;
  /** Fetches once, then regularly. Never rejects. */
  start(): Promise<void>;
}

/** Follows one bundle endpoint. */
export function followEndpoint(endpoint: BundleEndpoint, setting: EndpointSetting): FollowedEndpoint {
  const { times, clock, log } = setting;
  const { trustDomain } = endpoint;
  const held = createHeldBundle({
    trustDomain,
    staleMs: times.staleMs,
    clock,
    log,
    changed: setting.changed,
  });
  let timer: NodeJS.Timeout | undefined;
  let failures = 0;
  let lastProblem: string | undefined = 'its endpoint has not answered yet';
  let disposed = false;
  const refresh = async (): Promise<void> => {
    const problem = await offerNext(endpoint, setting, held, () => disposed);
    if (disposed) return;
    failures = problem === undefined ? 0 : failures + 1;
    lastProblem = problem;
    if (problem !== undefined)
      log.warn({ trust_domain: trustDomain, problem }, 'a federated bundle could not be refreshed');
  };
  const start = async (): Promise<void> => {
    await refresh();
    if (!disposed)
      timer = setTimeout(() => void start(), nextPauseMs(times, held.refreshHintMs, failures)).unref();
  };
  return {
    trustDomain,
    get trusted() {
      return held.trusted;
    },
    get newest() {
      return held.newest;
    },
    get health() {
      const { confirmedAt } = held;
      return {
        trustDomain,
        ...(confirmedAt !== undefined && { confirmedAt }),
        ...(lastProblem !== undefined && { problem: lastProblem }),
      };
    },
    start,
    [Symbol.dispose]() {
      disposed = true;
      clearTimeout(timer);
      held[Symbol.dispose]();
    },
  };
}

/** Fetches and offers what comes; the problem in words where nothing good came. */
async function offerNext(
  endpoint: BundleEndpoint,
  setting: EndpointSetting,
  held: HeldBundle,
  isDisposed: () => boolean,
): Promise<string | undefined> {
  try {
    const authentication = await authenticationOf(endpoint.profile, setting.newest);
    const text = await fetchBundle(
      new URL(endpoint.url),
      authentication,
      setting.clock.now(),
      setting.times.timeoutMs,
    );
    if (isDisposed()) return undefined;
    const reading = readSpiffeBundle(text, endpoint.trustDomain);
    return 'problem' in reading ? `the bundle ${reading.problem}` : held.offer(reading, text);
  } catch (error) {
    return `the endpoint could not be asked: ${messageOf(error)}`;
  }
}

/** Ms to the next fetch. */
function nextPauseMs(times: FederationTimes, hintMs: number | undefined, failures: number): number {
  // Three tries, at the least, before what is held is too old.
  const most = Math.max(times.floorMs, Math.min(times.ceilingMs, times.staleMs / 3));
  const regular = Math.min(most, Math.max(times.floorMs, hintMs ?? times.defaultMs));
  return pauseMs(times.retryMs, regular, failures);
}

/** The trust bundles among those of the followed endpoints that may be trusted now. */
export function trustedBundles(endpoints: readonly FollowedEndpoint[]): TrustBundles {
  const bundles = endpoints.flatMap(({ trusted }) => (trusted ? [trusted] : []));
  return new Map(bundles.map((bundle) => [bundle.trustDomain, bundle]));
}
