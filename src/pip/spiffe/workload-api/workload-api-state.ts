import type { Clock } from '../../../pdp/ports.ts';
import type { BundleHealth, SvidState, TrustBundle, TrustBundles, X509Svid } from '../../../pdp/x509-svid.ts';
import type { JwtAuthorities, X509Authorities } from './workload-api-bundles.ts';

/** What the newest message of each stream says; absent where it brought none, or where that was withdrawn. */
export interface Views {
  readonly svids?: { readonly svid?: X509Svid; readonly authorities: X509Authorities };
  readonly x509Bundles?: { readonly authorities: X509Authorities };
  readonly jwtBundles?: { readonly authorities: JwtAuthorities };
}

/** The full state, put together from what the streams say. Disposing stops the watch for expiry. */
export interface WorkloadApiState extends Disposable {
  readonly state: SvidState;
  /** Of the bundles that are held. */
  bundleHealth(): readonly BundleHealth[];
  /** Replaces what one stream says; `undefined` takes its word away. */
  see<S extends keyof Views>(stream: S, view: Views[S] | undefined): void;
}

/** Settings of {@link createWorkloadApiState}. */
export interface WorkloadApiStateOptions {
  readonly clock: Clock;
  /** Called after every change of `state`. */
  readonly changed: () => void;
  /** Called when the SVID expires while it is held, after which it is not held any more. */
  readonly expired: (svid: X509Svid) => void;
}

/** The longest time that Node's timers know. */
const MAX_TIMER_MS = 2 ** 31 - 1;

/**
 * Holds the full state. Two streams speak of X.509 bundles, each in full: what the newest message of either says is in force, so that a
 * bundle that either of them withdraws is gone at once.
 */
export function createWorkloadApiState(options: WorkloadApiStateOptions): WorkloadApiState {
  let views: Views = {};
  let newest: 'svids' | 'x509Bundles' = 'svids';
  let state: SvidState = { bundles: new Map() };
  let confirmed: ReadonlyMap<string, number> = new Map();
  let expiry: NodeJS.Timeout | undefined;
  const see: WorkloadApiState['see'] = (stream, view) => {
    if (view === undefined && views[stream] === undefined) return;
    views = { ...views, [stream]: view };
    if (stream !== 'jwtBundles' && view !== undefined) newest = stream;
    const next = assemble(views, newest, state);
    confirmed = confirmations(next.bundles, view?.authorities, confirmed, options.clock.now());
    if (next === state) return;
    state = next;
    watchExpiry();
    options.changed();
  };
  const watchExpiry = (): void => {
    clearTimeout(expiry);
    const { svid } = state;
    if (svid === undefined) return;
    const left = svid.notAfter - options.clock.now();
    // One more millisecond, because timers may fire a little early.
    if (left > 0) expiry = setTimeout(watchExpiry, Math.min(left + 1, MAX_TIMER_MS)).unref();
    else expire(svid);
  };
  const expire = (svid: X509Svid): void => {
    options.expired(svid);
    see('svids', views.svids && { authorities: views.svids.authorities });
  };
  return {
    get state() {
      return state;
    },
    bundleHealth: () => [...confirmed].map(([trustDomain, confirmedAt]) => ({ trustDomain, confirmedAt })),
    see,
    [Symbol.dispose]: () => clearTimeout(expiry),
  };
}

function confirmations(
  bundles: TrustBundles,
  said: ReadonlyMap<string, unknown> | undefined,
  before: ReadonlyMap<string, number>,
  now: number,
): ReadonlyMap<string, number> {
  const at = (trustDomain: string) => (said?.has(trustDomain) ? now : (before.get(trustDomain) ?? now));
  return new Map([...bundles.keys()].map((trustDomain) => [trustDomain, at(trustDomain)]));
}

/** What has not changed stays the same object, so that what is remembered about it stays good; `before` where nothing has changed. */
function assemble(views: Views, newest: 'svids' | 'x509Bundles', before: SvidState): SvidState {
  const svid = keepSvid(views.svids?.svid, before.svid);
  const bundles = assembleBundles(views, newest, before.bundles);
  const isSame = svid === before.svid && bundles.size === before.bundles.size;
  if (isSame && [...bundles].every(([name, bundle]) => before.bundles.get(name) === bundle)) return before;
  return svid ? { svid, bundles } : { bundles };
}

function assembleBundles(views: Views, newest: 'svids' | 'x509Bundles', before: TrustBundles): TrustBundles {
  const other = newest === 'svids' ? views.x509Bundles : views.svids;
  const x509 = (views[newest] ?? other)?.authorities ?? new Map<string, []>();
  const jwt = views.jwtBundles?.authorities ?? new Map<string, []>();
  const bundleOf = (trustDomain: string): TrustBundle => {
    const x509Authorities = x509.get(trustDomain) ?? [];
    const jwtAuthorities = jwt.get(trustDomain) ?? [];
    return keepBundle({ trustDomain, x509Authorities, jwtAuthorities }, before.get(trustDomain));
  };
  const trustDomains = new Set([...x509.keys(), ...jwt.keys()]);
  return new Map([...trustDomains].map((trustDomain) => [trustDomain, bundleOf(trustDomain)]));
}

function keepSvid(next: X509Svid | undefined, before: X509Svid | undefined): X509Svid | undefined {
  const isSame =
    next?.certificateChain === before?.certificateChain && next?.privateKey === before?.privateKey;
  return isSame ? before : next;
}

function keepBundle(next: TrustBundle, before: TrustBundle | undefined): TrustBundle {
  if (before?.x509Authorities.length !== next.x509Authorities.length) return next;
  if (!next.x509Authorities.every(({ raw }, index) => before.x509Authorities[index]?.raw.equals(raw)))
    return next;
  return JSON.stringify(before.jwtAuthorities) === JSON.stringify(next.jwtAuthorities) ? before : next;
}
