import { PdpError } from '../../../../src/pdp/errors.ts';
import {
  type Grant,
  type GrantActor,
  type GrantBook,
  type GrantScope,
  type GrantWish,
  isGrantRefusal,
} from '../../../../src/pdp/grant.ts';
import type { GrantRefusal } from '../../../../src/pdp/grant.ts';
import type { AttributeSource } from '../../../../src/pdp/ports.ts';
import type { SharedEntry, SharedState } from '../../../../src/pdp/shared-state.ts';
import { type GrantChange, createGrantBook } from '../../../../src/pip/grants/grant-book.ts';
import { createGrantIndex } from '../../../../src/pip/grants/grant-index.ts';
import { createGrantSource } from '../../../../src/pip/grants/grant-source.ts';
import { createSteadyTime } from '../../../../src/pip/grants/steady-time.ts';
import { openEmbeddedState } from '../../../../src/pip/shared/embedded-state.ts';
import { START, memoryLog } from '../fixture.ts';

export const HOUR_MS = 3_600_000;

/** A clock whose wall time can also be set. */
export interface SettableClock {
  now(): number;
  monotonic(): number;
  advance(ms: number): void;
  /** Sets the wall time by so many ms, as an administrator would. */
  set(ms: number): void;
}

export function settableClock(): SettableClock {
  let wall = START;
  let passed = 0;
  return {
    now: () => wall,
    monotonic: () => passed,
    advance(ms) {
      wall += ms;
      passed += ms;
    },
    set(ms) {
      wall += ms;
    },
  };
}

const scope = (name: string, more: Partial<GrantScope> = {}): GrantScope => ({
  name,
  maxMs: 8 * HOUR_MS,
  requesters: { issuers: new Set(['staff']), users: new Set(['partner/kim']), groups: new Set(['on-call']) },
  approvers: { users: new Set(['staff/lee', 'staff/max']), groups: new Set(['orders-leads', 'staff/leads']) },
  approvals: 1,
  ...more,
});

export const SCOPES: readonly GrantScope[] = [
  scope('orders', { breakGlassMaxMs: HOUR_MS }),
  scope('ledger', { approvals: 2 }),
];

export const actor = (
  id: string,
  groups: readonly string[] = [],
  actors: readonly string[] = [],
): GrantActor => ({
  id,
  groups: new Set(groups),
  actors,
});

export const KIM = actor('staff/kim');
export const LEE = actor('staff/lee');
export const MAX = actor('staff/max');

export const wish = (more: Partial<GrantWish> = {}): GrantWish => ({
  scope: 'orders',
  durationS: 3600,
  justification: 'INC-1207: stuck orders',
  breakGlass: false,
  ...more,
});

/** One replica. */
export interface Replica extends AsyncDisposable {
  readonly book: GrantBook;
  readonly source: AttributeSource;
  readonly state: SharedState;
  readonly clock: SettableClock;
  /** What was recorded, in order. */
  readonly recorded: GrantChange[];
  readonly unconfirmed: GrantChange[];
  readonly changed: GrantChange[];
  /** Every entry that was put here, for other replicas to take. */
  readonly entries: SharedEntry[];
  /** Makes the decision log, or the shared state, fail from now on. */
  failing: { log?: boolean; state?: boolean };
  lagMs: number;
  /** What policies are told of a user. */
  facts(user?: string): { readonly grants: readonly string[]; readonly breakGlass: readonly string[] };
}

/** Settings of {@link openReplica}. */
export interface ReplicaOptions {
  readonly clock?: SettableClock;
  readonly scopes?: readonly GrantScope[];
  readonly journal?: string;
  /** Of the shared state. */
  readonly maxEntries?: number;
  readonly limits?: {
    readonly maxOpen?: number;
    readonly maxPerDay?: number;
    readonly breakGlassPerDay?: number;
  };
}

const NOBODY_WAITS = { signal: new AbortController().signal };

/** Opens a book and a source on an embedded state of their own. */
export async function openReplica(options: ReplicaOptions = {}): Promise<Replica> {
  const { clock = settableClock(), scopes: given = SCOPES, journal, limits = {} } = options;
  const { maxEntries = 10_000 } = options;
  const embedded = await openEmbeddedState({
    clock,
    log: memoryLog(),
    maxEntries,
    timeoutMs: 5000,
    ...(journal !== undefined && { journal }),
  });
  const entries: SharedEntry[] = [];
  const failing: Replica['failing'] = {};
  const state: SharedState = {
    async put(list, purpose) {
      if (failing.state) throw new PdpError('state_unavailable', 'Redis is gone');
      await embedded.put(list, purpose);
      entries.push(...list);
    },
    get: (key) => embedded.get(key),
    list: (prefix) => embedded.list(prefix),
    onChange: (listener) => embedded.onChange(listener),
    lagMs: () => replica.lagMs,
    [Symbol.asyncDispose]: () => embedded[Symbol.asyncDispose](),
  };
  const now = createSteadyTime(clock);
  const index = createGrantIndex(state, now);
  const scopes = new Map(given.map((one) => [one.name, one]));
  const recorded: GrantChange[] = [];
  const unconfirmed: GrantChange[] = [];
  const changed: GrantChange[] = [];
  const source = createGrantSource({ state, index, scopes, maxLagMs: 1000, onFailure: 'deny', now });
  const book = createGrantBook({
    state,
    index,
    scopes,
    limits: { maxOpen: 10, maxPerDay: 50, breakGlassPerDay: 3, ...limits },
    requestTtlMs: 24 * HOUR_MS,
    keepMs: 30 * 24 * HOUR_MS,
    journal: {
      async record(change) {
        if (failing.log) throw new PdpError('audit_unavailable', 'the disk is full');
        recorded.push(change);
      },
      unconfirmed: (change) => void unconfirmed.push(change),
      changed: (change) => void changed.push(change),
    },
    now,
    wall: () => clock.now(),
  });
  const replica: Replica = {
    book,
    source,
    state,
    clock,
    recorded,
    unconfirmed,
    changed,
    entries,
    failing,
    lagMs: 0,
    facts(user = 'staff/kim') {
      const answer = source.lookup(user, NOBODY_WAITS);
      if (answer instanceof Promise) throw new Error('the source of grants must not wait');
      const { grants = [], break_glass: breakGlass = [] } = answer.attributes as Record<string, string[]>;
      return { grants, breakGlass };
    },
    [Symbol.asyncDispose]: () => embedded[Symbol.asyncDispose](),
  };
  return replica;
}

/** The grant; throws where there is a refusal. */
export async function granted(outcome: Promise<Grant | GrantRefusal>): Promise<Grant> {
  const grant = await outcome;
  if (isGrantRefusal(grant)) throw new Error(`refused: ${grant.detail}`);
  return grant;
}

/** Has kim ask, and lee approve. */
export async function approvedGrant({ book }: Replica, more: Partial<GrantWish> = {}): Promise<Grant> {
  const { id } = await granted(book.request(KIM, wish(more)));
  return await granted(book.approve(LEE, id));
}
