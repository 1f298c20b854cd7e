import { PdpError, messageOf } from '../../pdp/errors.ts';
import type { UserIdentity } from '../../pdp/identity.ts';
import type { AttributeSource, Clock } from '../../pdp/ports.ts';

/** Settings of {@link createUserGroups}. */
export interface UserGroupsOptions {
  /** All information points; those that give groups of users are asked. */
  readonly sources: readonly AttributeSource[];
  readonly clock: Clock;
  /** Ms within which they must answer. */
  readonly timeoutMs: number;
}

/**
 * Tells the groups of a user as policies name them: `<issuer name>/<group>` of the token, and what information points say now. An answer that is past its
 * freshness makes nobody an approver. Rejects with `PdpError` (`attribute_unavailable`) where a point fails whose failure denies.
 */
export function createUserGroups(
  options: UserGroupsOptions,
): (user: UserIdentity) => Promise<ReadonlySet<string>> {
  const sources = options.sources.filter(
    ({ subject, gives }) => subject === 'user' && gives.includes('groups'),
  );
  return async ({ id, token }) => {
    const answers = await Promise.all(sources.map((source) => groupsFrom(options, source, id)));
    return new Set([...token.groups.map((group) => `${token.issuer}/${group}`), ...answers.flat()]);
  };
}

async function groupsFrom(
  { clock, timeoutMs }: UserGroupsOptions,
  source: AttributeSource,
  user: string,
): Promise<readonly string[]> {
  try {
    const { groups, freshUntil, stale } = await source.lookup(user, {
      signal: AbortSignal.timeout(timeoutMs),
    });
    return stale === true || freshUntil <= clock.now() ? [] : groups;
  } catch (error) {
    if ((source.onFailureOf?.get('groups') ?? source.onFailure) === 'omit') return [];
    throw new PdpError('attribute_unavailable', `${source.name}: ${messageOf(error)}`, { cause: error });
  }
}
