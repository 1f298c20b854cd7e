import type { Grant, GrantActor, GrantPeople, GrantRefusal, GrantScope, GrantWish } from '../../pdp/grant.ts';
import { hasAsked, isSamePerson } from './grant-parts.ts';

/** Bounds of what one user may ask for. */
export interface GrantLimits {
  /** Requests that wait for approval. */
  readonly maxOpen: number;
  /** Requests of any kind in 24 hours. */
  readonly maxPerDay: number;
  /** Break-glass grants of one scope in 24 hours. */
  readonly breakGlassPerDay: number;
}

const DAY_MS = 86_400_000;
const JUSTIFICATION = { min: 10, max: 1000 } as const;
const MAX_TICKET = 100;
const MAX_REASON = 1000;
/** So that keys in the shared state stay within their bound. */
const MAX_USER_BYTES = 512;

/** Makes a {@link GrantRefusal}. */
export function refuseGrant(refused: GrantRefusal['refused'], detail: string): GrantRefusal {
  return { refused, detail };
}

const invalid = (detail: string): GrantRefusal => refuseGrant('invalid', detail);

/** What is wrong with what is asked for, before anybody's history is looked at. */
export function wishRefusal(
  by: GrantActor,
  wish: GrantWish,
  scope: GrantScope | undefined,
): GrantRefusal | undefined {
  if (!scope) return invalid(`there is no scope '${wish.scope}'`);
  if (!mayAsk(by, scope))
    return refuseGrant('not_allowed', `not one of those who may ask for '${scope.name}'`);
  const words = justificationProblem(wish.justification) ?? ticketProblem(wish.ticket);
  if (words !== undefined) return invalid(words);
  if (Buffer.byteLength(by.id) > MAX_USER_BYTES)
    return invalid(`the name of the user is longer than ${MAX_USER_BYTES} bytes`);
  if (!Number.isSafeInteger(wish.durationS) || wish.durationS < 1)
    return invalid('the duration must be at least one second, in whole seconds');
  return wish.breakGlass ? breakGlassRefusal(wish, scope) : tooLong(wish, scope.maxMs, 'a grant');
}

function breakGlassRefusal(wish: GrantWish, { name, breakGlassMaxMs }: GrantScope): GrantRefusal | undefined {
  return breakGlassMaxMs === undefined
    ? refuseGrant('not_allowed', `the scope '${name}' cannot be taken by breaking glass`)
    : tooLong(wish, breakGlassMaxMs, 'breaking glass');
}

function tooLong({ scope, durationS }: GrantWish, maxMs: number, what: string): GrantRefusal | undefined {
  const maxS = maxMs / 1000;
  return durationS > maxS
    ? invalid(`${durationS} s is longer than ${what} for '${scope}' may be: ${maxS} s`)
    : undefined;
}

function justificationProblem(text: string): string | undefined {
  const visible = visibleIn(text);
  if (Array.from(visible).length < JUSTIFICATION.min || !/[\p{L}\p{N}]/u.test(visible))
    return `a justification of at least ${JUSTIFICATION.min} characters is needed`;
  return textProblem('the justification', text, JUSTIFICATION.max);
}

function ticketProblem(ticket: string | undefined): string | undefined {
  return ticket === undefined ? undefined : textProblem('the ticket', ticket, MAX_TICKET);
}

/** What is wrong with why a request is denied, or a grant revoked. */
export function reasonRefusal(reason: string | undefined): GrantRefusal | undefined {
  const problem = reason === undefined ? undefined : textProblem('the reason', reason, MAX_REASON);
  return problem === undefined ? undefined : invalid(problem);
}

/** Controls steer terminals; overrides of the direction make a text read as another one. */
const UNSAFE = /[\p{Cc}\p{Zl}\p{Zp}\u061C\u200E\u200F\u202A-\u202E\u2066-\u2069]/u;

/** What one can see of a text: a justification that nobody can read is none. */
function visibleIn(text: string): string {
  return text.replace(/\p{Default_Ignorable_Code_Point}/gu, '').trim();
}

function textProblem(what: string, text: string, max: number): string | undefined {
  if (visibleIn(text) === '') return `${what} is empty`;
  if (text.length > 2 * max || Array.from(text).length > max)
    return `${what} is longer than ${max} characters`;
  if (!text.isWellFormed()) return `${what} is not Unicode`;
  return UNSAFE.test(text) ? `${what} holds a line break or another control character` : undefined;
}

/** What the grants that a user has, or had, say against one more. */
export function historyRefusal(
  wish: GrantWish,
  grants: readonly Grant[],
  limits: GrantLimits,
  now: number,
): GrantRefusal | undefined {
  const recent = grants.filter(({ requestedAt }) => requestedAt > now - DAY_MS);
  const tooMany = (detail: string): GrantRefusal => refuseGrant('too_many', detail);
  if (recent.length >= limits.maxPerDay)
    return tooMany(`${limits.maxPerDay} requests in 24 hours are the most that one user may make`);
  if (wish.breakGlass) return renewalRefusal(wish, grants, recent, limits);
  return grants.filter(({ state }) => state === 'requested').length >= limits.maxOpen
    ? tooMany(`${limits.maxOpen} requests wait for approval already: withdraw one`)
    : undefined;
}

function renewalRefusal(
  { scope }: GrantWish,
  grants: readonly Grant[],
  recent: readonly Grant[],
  { breakGlassPerDay }: GrantLimits,
): GrantRefusal | undefined {
  const isSame = (grant: Grant): boolean => grant.breakGlass && grant.scope === scope;
  if (grants.some((grant) => isSame(grant) && grant.state === 'approved'))
    return refuseGrant('conflict', `a break-glass grant for '${scope}' is live: it cannot be renewed`);
  return recent.filter(isSame).length >= breakGlassPerDay
    ? refuseGrant('too_many', `glass was broken for '${scope}' ${breakGlassPerDay} times in 24 hours already`)
    : undefined;
}

/** Whether somebody may approve, deny and revoke the grants of a scope. */
export function isApprover(by: GrantActor, scope: GrantScope | undefined): boolean {
  return scope !== undefined && isAmong(by, scope.approvers);
}

/** Names of issuers hold no '/'. */
function mayAsk(by: GrantActor, { requesters }: GrantScope): boolean {
  return requesters.issuers.has(by.id.slice(0, by.id.indexOf('/'))) || isAmong(by, requesters);
}

function isAmong({ id, groups }: GrantActor, people: GrantPeople): boolean {
  return people.users.has(id) || [...people.groups].some((group) => groups.has(group));
}

/** Why a request that was made by older rules of its scope is not granted any more. */
export function strictnessRefusal(
  { approvalsNeeded, durationMs }: Pick<Grant, 'approvalsNeeded' | 'durationMs'>,
  scope: GrantScope | undefined,
): GrantRefusal | undefined {
  if (scope && approvalsNeeded >= scope.approvals && durationMs <= scope.maxMs) return undefined;
  return refuseGrant(
    'conflict',
    'the rules of the scope are stricter now than when this was asked for: ask again',
  );
}

/** Why somebody may not decide on a request. */
export function approverRefusal(
  by: GrantActor,
  request: Pick<Grant, 'user' | 'actors' | 'approvals'>,
  scope: GrantScope | undefined,
): GrantRefusal | undefined {
  const decider = { by: by.id, actors: by.actors };
  if (hasAsked(decider, request))
    return refuseGrant('not_allowed', 'nobody decides on a request of their own');
  if (!isApprover(by, scope)) return refuseGrant('not_allowed', 'not one of the approvers of the scope');
  return request.approvals.some((approval) => isSamePerson(decider, approval))
    ? refuseGrant('not_allowed', 'nobody decides twice, in their own name and in one that is lent to them')
    : undefined;
}
