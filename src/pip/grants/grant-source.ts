import type { AttributeAnswer, OnFailure } from '../../pdp/attribute.ts';
import { PdpError } from '../../pdp/errors.ts';
import type { Grant, GrantScope } from '../../pdp/grant.ts';
import type { AttributeSource } from '../../pdp/ports.ts';
import type { SharedState } from '../../pdp/shared-state.ts';
import type { GrantIndex } from './grant-index.ts';
import { grantOf } from './grant-parts.ts';

/** Settings of {@link createGrantSource}. */
export interface GrantSourceOptions {
  readonly state: Pick<SharedState, 'lagMs'>;
  readonly index: GrantIndex;
  readonly scopes: ReadonlyMap<string, GrantScope>;
  /** Ms for which changes of other replicas may have been missed, before nothing is said of grants any more. */
  readonly maxLagMs: number;
  readonly onFailure: OnFailure;
  /** Unix ms; never goes back. */
  readonly now: () => number;
}

/** By how much clocks of replicas may differ: a grant that begins later than that begins in the future, and is not live. */
const SKEW_MS = 10_000;
/** How long an answer may be used where no grant ends before. */
const FRESH_MS = 30_000;

/**
 * What policies are told of the grants of a user: `grants`, the scopes of those that are approved and live, and `break_glass`, the scopes of those taken in an
 * emergency. An answer is good until the first of them ends. Throws `PdpError` (`attribute_unavailable`) while too much may have been missed.
 */
export function createGrantSource(options: GrantSourceOptions): AttributeSource {
  const { state, index, maxLagMs, onFailure } = options;
  return {
    name: 'grants',
    subject: 'user',
    gives: ['grants', 'break_glass'],
    quiet: true,
    onFailure,
    lookup(user) {
      const lag = state.lagMs();
      if (lag > maxLagMs)
        throw new PdpError(
          'attribute_unavailable',
          `changes of grants may have been missed for ${Math.round(lag)} ms, more than ${maxLagMs} ms`,
        );
      const now = options.now();
      const live = index
        .of(user)
        .flatMap((parts) => grantOf(parts, now) ?? [])
        .filter((grant) => isLive(options, grant, now));
      return answerOf(live, now, now - lag);
    },
  };
}

/** A scope that was taken out of the configuration gives nothing any more, whatever was granted. */
function isLive({ scopes }: GrantSourceOptions, grant: Grant, now: number): boolean {
  const scope = scopes.get(grant.scope);
  if (!scope || (grant.breakGlass && scope.breakGlassMaxMs === undefined)) return false;
  return grant.state === 'approved' && (grant.grantedAt ?? Infinity) <= now + SKEW_MS;
}

function answerOf(live: readonly Grant[], now: number, observedAt: number): AttributeAnswer {
  const scopesOf = (breakGlass: boolean): readonly string[] =>
    [...new Set(live.filter((grant) => grant.breakGlass === breakGlass).map(({ scope }) => scope))].sort();
  const [grants, breakGlass] = [scopesOf(false), scopesOf(true)];
  return {
    status: live.length === 0 ? 'absent' : 'found',
    attributes: {
      ...(grants.length > 0 && { grants }),
      ...(breakGlass.length > 0 && { break_glass: breakGlass }),
    },
    groups: [],
    observedAt,
    freshUntil: Math.min(now + FRESH_MS, ...live.map(({ expiresAt = now }) => expiresAt)),
  };
}
