import { X509Certificate } from 'node:crypto';
import type { Trust } from '../../src/api/tls/tls-listener.ts';
import type { RefusalCause } from '../../src/api/tls/refused-connections.ts';
import type { Clock } from '../../src/pdp/ports.ts';
import type { SvidSource, SvidState, TrustBundles, X509Svid } from '../../src/pdp/x509-svid.ts';
import { parseSpiffeId } from '../../src/pip/spiffe/spiffe-id.ts';
import { createSvidVerifier } from '../../src/pip/spiffe/x509/verify-svid.ts';
import { MACHINE_CLOCK } from './clock.ts';
import type { Leaf, TestCa } from './test-ca.ts';

/** A source of SVIDs that holds what a test says. */
export interface HeldSvids extends SvidSource {
  /** Replaces what is held. */
  hold(state: SvidState): void;
}

/** Starts with `state`. */
export function holdSvids(state: SvidState): HeldSvids {
  const listeners = new Set<() => void>();
  let held = state;
  return {
    get state() {
      return held;
    },
    health: { refused: 0, bundles: [] },
    hold(next) {
      held = next;
      for (const listener of listeners) listener();
    },
    onChange(listener) {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
    start: () => Promise.resolve(),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}

/** A leaf of a test CA as an SVID of ours. */
export function svidOf(leaf: Leaf): X509Svid {
  const identity = parseSpiffeId(leaf.spiffeId);
  if ('invalid' in identity) throw new Error(identity.invalid);
  const { validFrom, validTo } = new X509Certificate(leaf.cert);
  return {
    identity,
    certificateChain: leaf.cert,
    privateKey: leaf.key,
    notBefore: Date.parse(validFrom),
    notAfter: Date.parse(validTo),
  };
}

/** The bundles of test CAs; those of one trust domain are one bundle. */
export function bundlesOf(...cas: readonly TestCa[]): TrustBundles {
  const byDomain = Map.groupBy(cas, ({ trustDomain }) => trustDomain);
  return new Map(
    [...byDomain].map(([trustDomain, own]) => [
      trustDomain,
      {
        trustDomain,
        x509Authorities: own.map(({ bundle }) => new X509Certificate(bundle)),
        jwtAuthorities: [],
      },
    ]),
  );
}

/** A trust with the real verifier, with what it refused and what it said to operators. */
export interface TestTrust extends Trust {
  readonly svids: HeldSvids;
  readonly refused: { readonly surface: string; readonly cause: RefusalCause }[];
  readonly lines: { readonly fields: object; readonly message: string }[];
}

/** Trusts `bundles`, as `leaf`. */
export function createTestTrust(leaf: Leaf, bundles: TrustBundles, clock: Clock = MACHINE_CLOCK): TestTrust {
  const svids = holdSvids({ svid: svidOf(leaf), bundles });
  const refused: TestTrust['refused'] = [];
  const lines: TestTrust['lines'] = [];
  const say = (fields: object, message: string): void => void lines.push({ fields, message });
  return {
    svids,
    verify: createSvidVerifier(() => svids.state.bundles),
    clock,
    log: { info: say, warn: say, error: say },
    onRefused: (surface, cause) => void refused.push({ surface, cause }),
    refused,
    lines,
  };
}
