import { hash } from 'node:crypto';
import type { AttributeValue } from '../../pdp/attribute.ts';
import { isRecord } from '../../pdp/external-json.ts';
import type { Grant, GrantApproval, GrantEnd } from '../../pdp/grant.ts';
import type { SharedEntry } from '../../pdp/shared-state.ts';
import { subjectKey } from '../../pdp/subject-key.ts';

/** What begins the key of each entry of the grant book in the shared state. */
export const GRANT_PREFIX = 'grant|';

/** What was asked for. */
export type GrantRequest = Omit<Grant, 'approvals' | 'state' | 'grantedAt' | 'expiresAt' | 'end'>;

/**
 * One entry of the grant book, read. A grant is several: what was asked for, one for each approval, and its end. None of them ever changes, so
 * that the order in which replicas see them does not matter.
 */
export type GrantPart =
  | { readonly part: 'request'; readonly request: GrantRequest }
  | { readonly part: 'approval'; readonly approval: GrantApproval }
  | { readonly part: 'end'; readonly end: GrantEnd };

/** Whose and which grant an entry is of. */
export interface GrantRef {
  readonly user: string;
  readonly id: string;
}

const RANK = { request: 0, approval: 0, denied: 1, revoked: 2 } as const;

/** The entry of what is asked for. It is kept until `expiresAt` (Unix ms). */
export function requestEntry(request: GrantRequest, expiresAt: number): SharedEntry {
  const value = {
    scope: request.scope,
    justification: request.justification,
    break_glass: request.breakGlass,
    approve_before: request.approveBefore,
    duration_ms: request.durationMs,
    approvals_needed: request.approvalsNeeded,
    ...(request.ticket !== undefined && { ticket: request.ticket }),
    ...(request.actors && { actors: request.actors }),
  };
  return entryOf(request, 'request', RANK.request, request.requestedAt, expiresAt, value);
}

/** The entry of one approval. */
export function approvalEntry(
  ref: GrantRef,
  { by, actors, at }: GrantApproval,
  expiresAt: number,
): SharedEntry {
  const part = `approval-${hash('sha256', by, 'base64url')}`;
  return entryOf(ref, part, RANK.approval, at, expiresAt, { by, ...(actors && { actors }) });
}

/** The entry of the end of a grant. */
export function endEntry(ref: GrantRef, { state, by, at, reason }: GrantEnd, expiresAt: number): SharedEntry {
  const value = { state, by, ...(reason !== undefined && { reason }) };
  return entryOf(ref, 'end', RANK[state], at, expiresAt, value);
}

function entryOf(
  { user, id }: GrantRef,
  part: string,
  rank: number,
  at: number,
  expiresAt: number,
  value: AttributeValue,
): SharedEntry {
  return {
    key: `${GRANT_PREFIX}${subjectKey({ kind: 'user', id: user })}|${id}|${part}`,
    rank,
    at,
    expiresAt,
    value,
  };
}

const KEY = /^grant\|user:(\d{1,4}):(.*)\|([0-9a-f]{8}-[0-9a-f-]{27})\|(request|end|approval-[\w-]{43})$/s;

/** Whose and which grant the key of an entry is of; `undefined` where it is none of ours. */
export function grantRefOf(key: string): (GrantRef & { readonly part: GrantPart['part'] }) | undefined {
  const [, bytes, user, id, part] = KEY.exec(key) ?? [];
  if (user === undefined || id === undefined || Buffer.byteLength(user) !== Number(bytes)) return undefined;
  return { user, id, part: part === 'request' || part === 'end' ? part : 'approval' };
}

/**
 * Reads an entry. One that says less than it must is nobody's request and nobody's approval; but an end is an end whatever it says.
 */
export function readGrantEntry(entry: SharedEntry): (GrantRef & { readonly is: GrantPart }) | undefined {
  const ref = grantRefOf(entry.key);
  if (!ref) return undefined;
  const is = readPart(ref, entry);
  return is && { user: ref.user, id: ref.id, is };
}

function readPart(
  { user, id, part }: GrantRef & { readonly part: GrantPart['part'] },
  { value, at }: SharedEntry,
): GrantPart | undefined {
  const fields = isRecord(value) ? value : {};
  if (part === 'end') return { part, end: readEnd(fields, at) };
  if (part === 'request') {
    const request = readRequest({ user, id }, fields, at);
    return request && { part, request };
  }
  const { by } = fields;
  const lent = readActors(fields);
  return typeof by === 'string' && lent ? { part, approval: { by, ...lent, at } } : undefined;
}

/** Who acted in somebody's name; `undefined` where that cannot be read: then nobody can say who did not. */
function readActors({ actors }: Fields): { readonly actors?: readonly string[] } | undefined {
  if (actors === undefined) return {};
  if (!Array.isArray(actors)) return undefined;
  const names = actors.filter((one) => typeof one === 'string');
  return names.length === actors.length ? { actors: names } : undefined;
}

type Fields = Readonly<Record<string, unknown>>;

function readEnd({ state, by, reason }: Fields, at: number): GrantEnd {
  return {
    state: state === 'denied' ? 'denied' : 'revoked',
    by: typeof by === 'string' ? by : '',
    at,
    ...(typeof reason === 'string' && { reason }),
  };
}

function readRequest(ref: GrantRef, fields: Fields, at: number): GrantRequest | undefined {
  const { scope, justification, ticket, break_glass: breakGlass } = fields;
  const approveBefore = positive(fields['approve_before']);
  const durationMs = positive(fields['duration_ms']);
  const approvalsNeeded = positive(fields['approvals_needed']);
  if (typeof scope !== 'string' || typeof justification !== 'string' || typeof breakGlass !== 'boolean')
    return undefined;
  const lent = readActors(fields);
  if (approveBefore === undefined || durationMs === undefined || approvalsNeeded === undefined || !lent)
    return undefined;
  return {
    ...ref,
    ...lent,
    scope,
    justification,
    breakGlass,
    requestedAt: at,
    approveBefore,
    durationMs,
    approvalsNeeded,
    ...(typeof ticket === 'string' && { ticket }),
  };
}

function positive(value: unknown): number | undefined {
  return typeof value === 'number' && Number.isSafeInteger(value) && value > 0 ? value : undefined;
}
