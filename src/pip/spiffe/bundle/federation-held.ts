import type { Log } from '../../../pdp/log.ts';
import type { Clock } from '../../../pdp/ports.ts';
import type { TrustBundle } from '../../../pdp/x509-svid.ts';
import type { SpiffeBundle } from './bundle-document.ts';

/** The bundle of one federated trust domain, as far as it is known. Disposing stops the watch for its age. */
export interface HeldBundle extends Disposable {
  /** `undefined` before the first, and from `staleMs` after the last confirmation. */
  readonly trusted: TrustBundle | undefined;
  /** However old. */
  readonly newest: TrustBundle | undefined;
  readonly refreshHintMs: number | undefined;
  /** Unix ms at which the endpoint last said what is held. */
  readonly confirmedAt: number | undefined;
  /** Takes what an endpoint says; the problem in words where it is not taken. `text` is the document as it came. */
  offer(bundle: SpiffeBundle, text: string): string | undefined;
}

/** Settings of {@link createHeldBundle}. */
export interface HeldBundleOptions {
  readonly trustDomain: string;
  /** Ms after its last confirmation beyond which a bundle is not trusted any more. */
  readonly staleMs: number;
  readonly clock: Clock;
  readonly log: Log;
  /** Called when `trusted` has changed. */
  readonly changed: () => void;
}

interface Held extends SpiffeBundle {
  readonly text: string;
  /** Unix ms. */
  readonly confirmedAt: number;
}

const MAX_TIMER_MS = 2 ** 31 - 1;

/**
 * Holds the newest bundle of one trust domain. `spiffe_sequence` orders bundles (SPIFFE Federation §4.2): a lower one than was seen is
 * refused; the same one confirms what is held, except that an empty bundle always takes effect, for that is how everything is revoked.
 */
export function createHeldBundle(options: HeldBundleOptions): HeldBundle {
  const { trustDomain, clock, log } = options;
  let held: Held | undefined;
  let highest: bigint | undefined;
  let stale = false;
  let timer: NodeJS.Timeout | undefined;
  const watchAge = (): void => {
    clearTimeout(timer);
    if (held === undefined) return;
    const left = options.staleMs - (clock.now() - held.confirmedAt);
    if (left >= 0) timer = setTimeout(watchAge, Math.min(left + 1, MAX_TIMER_MS)).unref();
    else if (!stale) {
      stale = true;
      log.error(
        { trust_domain: trustDomain },
        'a federated bundle was not confirmed for too long; it is not trusted any more',
      );
      options.changed();
    }
  };
  const hold = (next: Held): void => {
    const isChange = stale || held?.bundle !== next.bundle;
    held = next;
    stale = false;
    watchAge();
    if (isChange) options.changed();
  };
  return {
    get trusted() {
      return stale ? undefined : held?.bundle;
    },
    get newest() {
      return held?.bundle;
    },
    get refreshHintMs() {
      return held?.refreshHintMs;
    },
    get confirmedAt() {
      return held?.confirmedAt;
    },
    offer(next, text) {
      if (next.sequence !== undefined && highest !== undefined && next.sequence < highest)
        return `spiffe_sequence went back from ${highest} to ${next.sequence}: the bundle is refused`;
      const confirmedAt = clock.now();
      if (held !== undefined && confirms(held, next, text)) hold({ ...held, confirmedAt });
      else {
        tell(log, next);
        hold({ ...next, text, confirmedAt });
      }
      highest = next.sequence ?? highest;
      return undefined;
    },
    [Symbol.dispose]: () => clearTimeout(timer),
  };
}

function confirms(held: Held, next: SpiffeBundle, text: string): boolean {
  if (text === held.text) return true;
  return next.sequence !== undefined && next.sequence === held.sequence && !isEmpty(next.bundle);
}

function isEmpty({ x509Authorities, jwtAuthorities }: TrustBundle): boolean {
  return x509Authorities.length === 0 && jwtAuthorities.length === 0;
}

function tell(log: Log, { bundle, sequence }: SpiffeBundle): void {
  const fields = {
    trust_domain: bundle.trustDomain,
    x509_authorities: bundle.x509Authorities.length,
    jwt_authorities: bundle.jwtAuthorities.length,
    ...(sequence !== undefined && { sequence: sequence.toString() }),
  };
  if (isEmpty(bundle))
    log.warn(fields, 'a federated trust domain has revoked everything: nobody in it is trusted any more');
  else log.info(fields, 'a federated bundle changed');
}
