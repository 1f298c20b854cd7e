import { grantRoutes } from '../api/grants/grant-routes.ts';
import type { HttpRoutes } from '../api/http/http-server.ts';
import type { LogWriter } from '../audit/log/log-writer.ts';
import { BREAK_GLASS_MAX_S } from '../config/grants.ts';
import { isPlaintext } from '../config/surfaces.ts';
import type { Config } from '../config.ts';
import { PdpError, messageOf } from '../pdp/errors.ts';
import type { GrantPeople, GrantScope } from '../pdp/grant.ts';
import type { Log } from '../pdp/log.ts';
import type { AttributeSource, Clock, Revocations, UserAuthenticator } from '../pdp/ports.ts';
import type { SharedState } from '../pdp/shared-state.ts';
import { type GrantChange, type GrantJournal, createGrantBook } from '../pip/grants/grant-book.ts';
import { type GrantIndex, createGrantIndex } from '../pip/grants/grant-index.ts';
import { createGrantSource } from '../pip/grants/grant-source.ts';
import { createSteadyTime } from '../pip/grants/steady-time.ts';
import { createUserGroups } from '../pip/grants/user-groups.ts';
import type { GrantMetrics } from '../telemetry/grants.ts';

type GrantsConfig = NonNullable<Config['grants']>;

/** The grants that are in force, as checks see them. */
export interface GrantFacts {
  readonly source: AttributeSource;
  readonly state: SharedState;
  readonly index: GrantIndex;
  readonly scopes: ReadonlyMap<string, GrantScope>;
  /** Unix ms; never goes back. */
  readonly now: () => number;
}

/** Follows the grants of the shared state; `stack` stops that. `undefined` where none are configured. */
export function openGrantFacts(
  config: Config['grants'],
  { shared, clock }: { readonly shared: SharedState; readonly clock: Clock },
  stack: AsyncDisposableStack,
): GrantFacts | undefined {
  if (!config) return undefined;
  const now = createSteadyTime(clock);
  const index = stack.use(createGrantIndex(shared, now));
  const scopes = new Map(config.scopes.map((scope) => [scope.name, scopeOf(scope)]));
  const { max_lag_ms: maxLagMs, on_failure: onFailure } = config;
  const source = createGrantSource({ state: shared, index, scopes, maxLagMs, onFailure, now });
  return { source, state: shared, index, scopes, now };
}

function scopeOf(scope: GrantsConfig['scopes'][number]): GrantScope {
  const { name, max_s: maxS, requesters, approvers, approvals } = scope;
  const breakGlassMaxS = scope.break_glass_max_s ?? Math.min(BREAK_GLASS_MAX_S, maxS);
  return {
    name,
    maxMs: maxS * 1000,
    ...(scope.break_glass && { breakGlassMaxMs: breakGlassMaxS * 1000 }),
    requesters: { ...peopleOf(requesters), issuers: new Set(requesters.issuers) },
    approvers: peopleOf(approvers),
    approvals,
  };
}

function peopleOf({ users, groups }: GrantsConfig['scopes'][number]['approvers']): GrantPeople {
  return { users: new Set(users), groups: new Set(groups) };
}

/** How users are proven, and by what they become approvers. */
interface Asking {
  readonly grants?: GrantFacts;
  readonly user: UserAuthenticator;
  readonly revocations: Revocations;
  readonly sources: { readonly all: readonly AttributeSource[] };
}

interface Around {
  readonly clock: Clock;
  readonly log: Log;
  readonly writer: Pick<LogWriter, 'appendControl'>;
  readonly metrics: GrantMetrics;
  /** See `wwwAuthenticate`. */
  readonly dpopAlgorithms?: readonly string[];
}

/** More than a check may take: a person waits. */
const GROUPS_TIMEOUT_MS = 5000;

/** The routes of the grant book on the HTTP surface; none where no grants are configured. */
export function grantRoutesOf(
  { grants: config, http, decision }: Config,
  { grants: facts, user, revocations, sources }: Asking,
  around: Around,
): readonly HttpRoutes[] {
  if (!config || !facts) return [];
  const { clock, log, dpopAlgorithms } = around;
  const book = createGrantBook({
    ...facts,
    limits: {
      maxOpen: config.max_open_per_user,
      maxPerDay: config.requests_per_day,
      breakGlassPerDay: config.break_glass_per_day,
    },
    requestTtlMs: config.request_ttl_s * 1000,
    keepMs: config.keep_s * 1000,
    journal: createGrantJournal(around),
    wall: () => clock.now(),
  });
  const groupsOf = createUserGroups({ sources: sources.all, clock, timeoutMs: GROUPS_TIMEOUT_MS });
  const plaintext = isPlaintext('http', http);
  const asking = { user, revocations, clock, plaintext, groupsOf, realm: decision.realm, log };
  return [grantRoutes({ ...asking, book, ...(dpopAlgorithms && { dpopAlgorithms }) })];
}

/** Records changes in the decision log, counts them, and shouts where glass is broken. */
export function createGrantJournal({
  writer,
  log,
  metrics,
}: Pick<Around, 'writer' | 'log' | 'metrics'>): GrantJournal {
  return {
    async record(change) {
      try {
        await writer.appendControl('grant_changed', recordOf(change));
      } catch (error) {
        const words = `nothing was changed: the decision log cannot be written: ${messageOf(error)}`;
        throw new PdpError('audit_unavailable', words, { cause: error });
      }
    },
    unconfirmed(change, error) {
      const fields = { ...briefly(change), problem: messageOf(error) };
      log.error(fields, 'a recorded change of a grant may not have been made');
      writer
        .appendControl('grant_change_unconfirmed', fields)
        .catch((fault: unknown) => log.error({ ...fields, err: fault }, 'and that is not recorded'));
    },
    changed(change) {
      metrics.grantChanged(change.change, change.grant.scope);
      if (change.change === 'broke_glass')
        log.warn(briefly(change), 'GLASS WAS BROKEN: a grant without approval');
      else log.info(briefly(change), 'a grant has changed');
    },
  };
}

/** Why people say that they need access stays out of the operational log. */
function briefly({ change, by, actor, grant }: GrantChange) {
  const { id, user, scope, state, expiresAt } = grant;
  return {
    grant: id,
    change,
    by,
    ...(actor !== undefined && { actor }),
    user,
    scope,
    state,
    ...(expiresAt !== undefined && { expires_at: timeText(expiresAt) }),
  };
}

function recordOf(change: GrantChange) {
  const { justification, ticket, breakGlass, durationMs, grantedAt, end } = change.grant;
  return {
    ...briefly(change),
    break_glass: breakGlass,
    duration_s: durationMs / 1000,
    justification,
    ticket,
    ...(grantedAt !== undefined && { granted_at: timeText(grantedAt) }),
    reason: end?.reason,
  };
}

const timeText = (ms: number): string => new Date(ms).toISOString();
