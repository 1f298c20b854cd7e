import type { Log } from '../../../pdp/log.ts';
import type { SvidSource, SvidState } from '../../../pdp/x509-svid.ts';
import type { FederatedBundles } from './federation.ts';
import { createListeners } from '../listeners.ts';

/**
 * Adds federated bundles to those of a source of our SVID. Where both have one of the same trust domain, that of the source counts, for
 * nobody but our own control plane may speak for our trust domain; the other is not used at all. Starts and disposes of both.
 */
export function combineSvidSources(source: SvidSource, federated: FederatedBundles, log: Log): SvidSource {
  let state = combine(source, federated);
  const shadowed = new Set<string>();
  const listeners = createListeners(log);
  const changed = (): void => {
    state = combine(source, federated);
    for (const trustDomain of federated.bundles.keys()) {
      if (!source.state.bundles.has(trustDomain) || shadowed.has(trustDomain)) continue;
      shadowed.add(trustDomain);
      log.warn(
        { trust_domain: trustDomain },
        'a federated bundle is not used: our own source has the trust domain',
      );
    }
    listeners.tell('our SVID or the trust bundles');
  };
  const stops = [source.onChange(changed), federated.onChange(changed)];
  return {
    get state() {
      return state;
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

function combine(source: SvidSource, federated: FederatedBundles): SvidState {
  const { svid, bundles } = source.state;
  const all = new Map([...federated.bundles, ...bundles]);
  return svid ? { svid, bundles: all } : { bundles: all };
}
