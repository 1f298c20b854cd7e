import type { Log } from '../../../pdp/log.ts';
import type { SvidSource, SvidState, TrustBundle } from '../../../pdp/x509-svid.ts';
import type { FederatedBundles } from './federation.ts';
import { createListeners } from '../listeners.ts';

/**
 * Adds federated bundles to those of a source of our SVID. Nobody but our own control plane may speak for our trust domain: no federated
 * bundle is used of one that the source has a bundle of, of one in `ours`, or of one that an SVID of ours was ever in, and none at all
 * while it is not known which is ours. Starts and disposes of both.
 */
export function combineSvidSources(
  source: SvidSource,
  federated: FederatedBundles,
  log: Log,
  ours: readonly string[] = [],
): SvidSource {
  const own = new Set(ours);
  const told = new Set<string>();
  const listeners = createListeners(log);
  const isUsed = (trustDomain: string): boolean =>
    own.size > 0 && !own.has(trustDomain) && !source.state.bundles.has(trustDomain);
  const tell = (trustDomain: string): void => {
    if (own.size === 0 || told.has(trustDomain)) return;
    told.add(trustDomain);
    log.warn(
      { trust_domain: trustDomain },
      'a federated bundle is not used: our own source has the trust domain',
    );
  };
  const combine = (): SvidState => {
    const { svid, bundles } = source.state;
    if (svid) own.add(svid.identity.trustDomain);
    const all = new Map<string, TrustBundle>(bundles);
    for (const [trustDomain, bundle] of federated.bundles) {
      if (isUsed(trustDomain)) all.set(trustDomain, bundle);
      else tell(trustDomain);
    }
    return svid ? { svid, bundles: all } : { bundles: all };
  };
  let state = combine();
  const changed = (): void => {
    state = combine();
    listeners.tell('our SVID or the trust bundles');
  };
  const stops = [source.onChange(changed), federated.onChange(changed)];
  return {
    get state() {
      return state;
    },
    get health() {
      const { bundles, ...rest } = source.health;
      const others = federated.health.filter(({ trustDomain }) => own.size === 0 || isUsed(trustDomain));
      return { ...rest, bundles: [...bundles, ...others] };
    },
    onChange: (listener) => listeners.add(listener),
    async start() {
      // The source first: it may bring the bundles by which servers of bundle endpoints are verified.
      await source.start();
      await federated.start();
    },
    async [Symbol.asyncDispose]() {
      for (const stop of stops) stop();
      listeners.clear();
      await federated[Symbol.asyncDispose]();
      await source[Symbol.asyncDispose]();
    },
  };
}
