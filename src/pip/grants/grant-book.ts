import { decisionId } from '../../pdp/decision-id.ts';
import type {
  Grant,
  GrantActor,
  GrantBook,
  GrantEnd,
  GrantFilter,
  GrantList,
  GrantRefusal,
  GrantScope,
  GrantWish,
} from '../../pdp/grant.ts';
import type { SharedEntry, SharedState } from '../../pdp/shared-state.ts';
import { type GrantRequest, approvalEntry, endEntry, readGrantEntry, requestEntry } from './grant-entries.ts';
import { type GrantParts, grantOf, withPart } from './grant-parts.ts';
import type { GrantIndex, IndexedGrant } from './grant-index.ts';
import {
  type GrantLimits,
  approverRefusal,
  historyRefusal,
  isApprover,
  reasonRefusal,
  refuseGrant,
  strictnessRefusal,
  wishRefusal,
} from './grant-rules.ts';
import { createTurns } from './turns.ts';

/** What somebody did to a grant. */
export interface GrantChange {
  readonly change: 'requested' | 'broke_glass' | 'approved' | 'denied' | 'revoked';
  readonly by: string;
  /** Who acted in their name (RFC 8693), as `<issuer name>/<sub>`. */
  readonly actor?: string;
  /** The grant as the change leaves it. */
  readonly grant: Grant;
}

/** Where changes are recorded. */
export interface GrantJournal {
  /** Rejects with `PdpError` `audit_unavailable` where the change is not safely recorded: then it is not made. */
  record(change: GrantChange): Promise<void>;
  /** Told of a change that was recorded and may not have been made. */
  unconfirmed(change: GrantChange, error: unknown): void;
  /** Told of a change that was made. */
  changed(change: GrantChange): void;
}

/** Settings of {@link createGrantBook}. */
export interface GrantBookOptions {
  readonly state: SharedState;
  readonly index: GrantIndex;
  readonly scopes: ReadonlyMap<string, GrantScope>;
  readonly limits: GrantLimits;
  /** Ms within which a request must be approved. */
  readonly requestTtlMs: number;
  /** Ms for which a grant can be looked up after its end. */
  readonly keepMs: number;
  readonly journal: GrantJournal;
  /** Unix ms; never goes back. */
  readonly now: () => number;
  /**
   * Unix ms as the clock says. Ends are stamped with it: the shared state refuses what is far in its future, and an end must be taken also while `now` is
   * ahead of a clock that was set back.
   */
  readonly wall: () => number;
}

/** Room for one answer; what is older is in the decision log. */
const MAX_LISTED = 1000;

/** Makes the grant book. Changes of the grants of one user take turns; those of different replicas meet in the shared state. */
export function createGrantBook(options: GrantBookOptions): GrantBook {
  const inTurn = createTurns();
  const ofUser = <T>(id: string, work: (found: IndexedGrant) => Promise<T>): Promise<T | GrantRefusal> => {
    const found = options.index.find(id);
    if (!found) return Promise.resolve(refuseGrant('unknown', `there is no grant ${id}`));
    // Read again when its turn has come.
    return inTurn(found.user, () => work(options.index.find(id) ?? found));
  };
  return {
    request: (by, wish) => inTurn(by.id, () => request(options, by, wish)),
    approve: (by, id) => ofUser(id, (found) => approve(options, by, found)),
    deny: (by, id, reason) => ofUser(id, (found) => deny(options, by, found, reason)),
    revoke: (by, id, reason) => ofUser(id, (found) => revoke(options, by, found, reason)),
    list: (by, filter) => list(options, by, filter),
  };
}

type Outcome = Promise<Grant | GrantRefusal>;

async function request(options: GrantBookOptions, by: GrantActor, wish: GrantWish): Outcome {
  const { index, scopes, limits, requestTtlMs } = options;
  const scope = scopes.get(wish.scope);
  const now = options.now();
  const history = index.of(by.id).flatMap((parts) => grantOf(parts, now) ?? []);
  const refusal = wishRefusal(by, wish, scope) ?? historyRefusal(wish, history, limits, now);
  if (refusal || !scope) return refusal ?? refuseGrant('invalid', 'there is no such scope');
  const asked: GrantRequest = {
    id: decisionId(now),
    user: by.id,
    ...(by.actors.length > 0 && { actors: by.actors }),
    scope: scope.name,
    breakGlass: wish.breakGlass,
    justification: wish.justification.trim(),
    ...(wish.ticket !== undefined && { ticket: wish.ticket.trim() }),
    requestedAt: now,
    approveBefore: now + requestTtlMs,
    durationMs: wish.durationS * 1000,
    approvalsNeeded: scope.approvals,
  };
  const entry = requestEntry(asked, asked.approveBefore + asked.durationMs + options.keepMs);
  const change = wish.breakGlass ? 'broke_glass' : 'requested';
  return await make(options, { change, by, parts: { approvals: [] }, entry });
}

async function approve(options: GrantBookOptions, by: GrantActor, found: IndexedGrant): Outcome {
  const grant = grantOf(found, options.now());
  const refusal = decidingRefusal(options, by, grant);
  if (refusal || !grant) return refusal ?? refuseGrant('unknown', `there is no grant ${found.id}`);
  if (grant.approvals.some((approval) => approval.by === by.id) && isOpen(grant)) return grant;
  if (grant.state !== 'requested') return closed(grant);
  const stricter = strictnessRefusal(grant, options.scopes.get(grant.scope));
  if (stricter) return stricter;
  const lent = by.actors.length > 0 && { actors: by.actors };
  const entry = approvalEntry(grant, { by: by.id, ...lent, at: options.now() }, found.expiresAt);
  return await make(options, { change: 'approved', by, parts: found, entry });
}

async function deny(options: GrantBookOptions, by: GrantActor, found: IndexedGrant, reason: string): Outcome {
  const grant = grantOf(found, options.now());
  const refusal = decidingRefusal(options, by, grant) ?? reasonRefusal(reason);
  if (refusal || !grant) return refusal ?? refuseGrant('unknown', `there is no grant ${found.id}`);
  if (grant.state === 'denied') return grant;
  if (grant.state !== 'requested') return closed(grant);
  return await end(options, by, found, { state: 'denied', by: by.id, at: options.wall(), reason });
}

async function revoke(
  options: GrantBookOptions,
  by: GrantActor,
  found: IndexedGrant,
  reason: string | undefined,
): Outcome {
  const grant = grantOf(found, options.now());
  if (!grant || !maySee(options, by, grant)) return refuseGrant('unknown', `there is no grant ${found.id}`);
  const refusal = reasonRefusal(reason);
  if (refusal) return refusal;
  if (!isOpen(grant)) return grant;
  const given = { state: 'revoked' as const, by: by.id, at: options.wall() };
  return await end(options, by, found, { ...given, ...(reason !== undefined && { reason }) });
}

function end(options: GrantBookOptions, by: GrantActor, found: IndexedGrant, how: GrantEnd): Outcome {
  const entry = endEntry(found, how, found.expiresAt);
  return make(options, { change: how.state, by, parts: found, entry });
}

function isOpen({ state }: Grant): boolean {
  return state === 'requested' || state === 'approved';
}

function closed({ state, id }: Grant): GrantRefusal {
  return refuseGrant('conflict', `the grant ${id} is ${state} already`);
}

function decidingRefusal(
  options: GrantBookOptions,
  by: GrantActor,
  grant: Grant | undefined,
): GrantRefusal | undefined {
  return grant && approverRefusal(by, grant, options.scopes.get(grant.scope));
}

/** To those who may not see it, a grant is not there. */
function maySee({ scopes }: GrantBookOptions, by: GrantActor, { user, scope }: Grant): boolean {
  return user === by.id || isApprover(by, scopes.get(scope));
}

interface Step {
  readonly change: GrantChange['change'];
  readonly by: GrantActor;
  readonly parts: GrantParts;
  readonly entry: SharedEntry;
}

/** Recorded first: a change that nobody can account for is worse than a record of one that did not come about, which says so. */
async function make(options: GrantBookOptions, { change, by, parts, entry }: Step): Promise<Grant> {
  const { journal, state, now } = options;
  const read = readGrantEntry(entry);
  const grant = read && grantOf(withPart(parts, read.is), now());
  if (!grant) throw new Error('an entry of the grant book cannot be read back');
  const [actor] = by.actors;
  const what = { change, by: by.id, ...(actor !== undefined && { actor }), grant };
  await journal.record(what);
  try {
    await state.put([entry], { restricts: read.is.part === 'end' });
  } catch (error) {
    journal.unconfirmed(what, error);
    throw error;
  }
  journal.changed(what);
  return grant;
}

function list(options: GrantBookOptions, by: GrantActor, { all, user, state }: GrantFilter): GrantList {
  const now = options.now();
  const approves = new Set(
    [...options.scopes.values()].flatMap((scope) => (isApprover(by, scope) ? scope.name : [])),
  );
  const known = candidates(options, user ?? (all && approves.size > 0 ? undefined : by.id));
  const grants = known
    .filter((parts) => parts.user === by.id || approves.has(parts.request?.scope ?? ''))
    .flatMap((parts) => grantOf(parts, now) ?? [])
    .filter((grant) => state === undefined || grant.state === state)
    .toSorted((a, b) => b.requestedAt - a.requestedAt || (a.id < b.id ? 1 : -1));
  return { grants: grants.slice(0, MAX_LISTED), truncated: grants.length > MAX_LISTED };
}

/** Of one user, or of all: those are many, so only for who may see more than their own. */
function candidates({ index }: GrantBookOptions, user: string | undefined): readonly IndexedGrant[] {
  return user === undefined ? index.all() : index.of(user);
}
