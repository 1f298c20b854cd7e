import type { AttributeRecord } from '../../pdp/attribute.ts';
import { isRecord } from '../../pdp/external-json.ts';
import type { Identities, VerifiedToken } from '../../pdp/identity.ts';
import type { Clock } from '../../pdp/ports.ts';
import type { SharedEntry } from '../../pdp/shared-state.ts';
import { subjectsOf } from './entries.ts';

interface Change {
  readonly key: string;
  /** Unix ms. */
  readonly at: number;
  /** Unix ms. */
  readonly endsAt: number;
  readonly claims?: AttributeRecord;
  readonly groups?: readonly string[];
}

/** What events have said of the claims of users since their tokens were issued, by user. */
export class ClaimsChanges {
  readonly #byUser = new Map<string, readonly Change[]>();

  /** Takes a `claims` entry in. */
  put(entry: SharedEntry): void {
    const user = subjectsOf(entry)?.[0]?.id;
    const change = changeOf(entry);
    if (user === undefined || change === undefined) return;
    const others = (this.#byUser.get(user) ?? []).filter(({ key }) => key !== change.key);
    this.#byUser.set(user, [...others, change]);
  }

  /** Drops what no token can be older than any more at `now` (Unix ms). */
  prune(now: number): void {
    for (const [user, changes] of this.#byUser) {
      const left = changes.filter(({ endsAt }) => endsAt > now);
      if (left.length === 0) this.#byUser.delete(user);
      else if (left.length < changes.length) this.#byUser.set(user, left);
    }
  }

  /** The identities with the user's claims as they are now; the same ones where nothing has changed. */
  revised(identities: Identities, clock: Pick<Clock, 'now'>): Identities {
    const { user } = identities;
    if (this.#byUser.size === 0 || user === undefined) return identities;
    const changes = this.#byUser.get(user.id) ?? [];
    const at = changes.length === 0 ? 0 : clock.now();
    const newer = changes.filter((change) => change.endsAt > at && isOlder(user.token.issuedAt, change.at));
    if (newer.length === 0) return identities;
    return { ...identities, user: { ...user, token: tokenWith(user.token, newer) } };
  }
}

/**
 * Whether a token was issued before `at` (Unix ms), as far as anybody can tell: `iat` has whole seconds, so that one of the same second counts as
 * older; so does one that does not say. `issuedAt` in Unix seconds.
 */
export function isOlder(issuedAt: number | undefined, at: number): boolean {
  return issuedAt === undefined || issuedAt <= Math.floor(at / 1000);
}

function tokenWith(token: VerifiedToken, changes: readonly Change[]): VerifiedToken {
  const claims = changes.flatMap((change) => change.claims ?? []);
  const groups = changes.find((change) => change.groups)?.groups;
  return {
    ...token,
    claims: Object.assign({}, token.claims, ...claims) as AttributeRecord,
    ...(groups && { groups }),
  };
}

function changeOf({ key, at, expiresAt = Number.POSITIVE_INFINITY, value }: SharedEntry): Change | undefined {
  if (!isRecord(value)) return undefined;
  const { claim, value: changed, groups } = value;
  const common = { key, at, endsAt: expiresAt };
  if (Array.isArray(groups))
    return { ...common, groups: groups.filter((group) => typeof group === 'string') };
  if (typeof claim !== 'string' || changed === undefined) return undefined;
  return { ...common, claims: { [claim]: changed } };
}
