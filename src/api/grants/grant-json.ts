import type { Grant, GrantList } from '../../pdp/grant.ts';

/** A grant as the API tells it; times as RFC 3339. */
export function grantJson(grant: Grant): object {
  const { id, user, scope, breakGlass, justification, ticket, state, approvals, end } = grant;
  return {
    id,
    user,
    scope,
    state,
    break_glass: breakGlass,
    justification,
    ...(ticket !== undefined && { ticket }),
    requested_at: timeText(grant.requestedAt),
    duration_s: grant.durationMs / 1000,
    ...(!grant.breakGlass && {
      approve_before: timeText(grant.approveBefore),
      approvals_needed: grant.approvalsNeeded,
      approvals: approvals.map(({ by, at }) => ({ by, at: timeText(at) })),
    }),
    ...(grant.grantedAt !== undefined && { granted_at: timeText(grant.grantedAt) }),
    ...(grant.expiresAt !== undefined && { expires_at: timeText(grant.expiresAt) }),
    ...(end && { end: { by: end.by, at: timeText(end.at), ...(end.reason && { reason: end.reason }) } }),
  };
}

/** Grants as the API lists them. */
export function grantListJson({ grants, truncated }: GrantList): object {
  return { grants: grants.map(grantJson), truncated };
}

const timeText = (ms: number): string => new Date(ms).toISOString();
