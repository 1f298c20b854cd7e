import type { SharedEntry, SharedState } from '../../pdp/shared-state.ts';
import { GRANT_PREFIX, readGrantEntry } from './grant-entries.ts';
import { type GrantParts, withPart } from './grant-parts.ts';

/** One grant as the shared state has it, by parts. */
export interface IndexedGrant extends GrantParts {
  readonly id: string;
  readonly user: string;
  /** Unix ms from which on nobody needs it. */
  readonly expiresAt: number;
}

/** The grants of the shared state, by user and by id, so that a look-up touches those of one user only. */
export interface GrantIndex extends Disposable {
  of(user: string): readonly IndexedGrant[];
  find(id: string): IndexedGrant | undefined;
  all(): readonly IndexedGrant[];
}

const SWEEP_EVERY = 1000;

/** Follows the shared state. `now`: Unix ms. */
export function createGrantIndex(state: SharedState, now: () => number): GrantIndex {
  const byId = new Map<string, IndexedGrant>();
  const byUser = new Map<string, ReadonlyMap<string, IndexedGrant>>();
  let changes = 0;
  const drop = ({ id, user }: IndexedGrant): void => {
    byId.delete(id);
    const others = [...(byUser.get(user)?.values() ?? [])].filter((grant) => grant.id !== id);
    if (others.length === 0) byUser.delete(user);
    else byUser.set(user, new Map(others.map((grant) => [grant.id, grant])));
  };
  const sweep = (): void => {
    for (const grant of byId.values()) if (grant.expiresAt <= now()) drop(grant);
  };
  const take = (entry: SharedEntry): void => {
    const read = entry.key.startsWith(GRANT_PREFIX) ? readGrantEntry(entry) : undefined;
    if (!read) return;
    const { id, user, is } = read;
    const known = byId.get(id);
    // Ids are ours to give: one that names the grant of another user was not given by us.
    if (known && known.user !== user) return;
    const expiresAt = Math.max(known?.expiresAt ?? 0, entry.expiresAt ?? Number.MAX_SAFE_INTEGER);
    const grant = { ...withPart(known ?? { approvals: [] }, is), id, user, expiresAt };
    byId.set(id, grant);
    byUser.set(user, new Map(byUser.get(user)).set(id, grant));
    changes += 1;
    if (changes % SWEEP_EVERY === 0) sweep();
  };
  // Listening comes first, so that nothing falls between the two.
  const listening = state.onChange(take);
  for (const entry of state.list(GRANT_PREFIX)) take(entry);
  const isKept = ({ expiresAt }: IndexedGrant): boolean => expiresAt > now();
  return {
    of: (user) => [...(byUser.get(user)?.values() ?? [])].filter(isKept),
    find: (id) => [byId.get(id)].find((grant) => grant !== undefined && isKept(grant)),
    all: () => [...byId.values()].filter(isKept),
    [Symbol.dispose]: () => listening[Symbol.dispose](),
  };
}
