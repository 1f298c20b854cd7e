import type { Grant, GrantApproval, GrantEnd, GrantState } from '../../pdp/grant.ts';
import type { GrantPart, GrantRequest } from './grant-entries.ts';

/** All that was said of one grant so far. */
export interface GrantParts {
  readonly request?: GrantRequest;
  readonly approvals: readonly GrantApproval[];
  readonly end?: GrantEnd;
}

/** Adds what one more entry says. An approval takes the place of an earlier one by the same user. */
export function withPart(parts: GrantParts, is: GrantPart): GrantParts {
  if (is.part === 'request') return { ...parts, request: is.request };
  if (is.part === 'end') return { ...parts, end: is.end };
  const others = parts.approvals.filter(({ by }) => by !== is.approval.by);
  return { ...parts, approvals: [...others, is.approval] };
}

/** Whether somebody had a hand in asking for a grant: in their own name, in one that was lent to them, or lending theirs to who decides. */
export function hasAsked(
  { by, actors = [] }: Pick<GrantApproval, 'by' | 'actors'>,
  request: Pick<GrantRequest, 'user' | 'actors'>,
): boolean {
  return by === request.user || actors.includes(request.user) || request.actors?.includes(by) === true;
}

/** Whether two approvals are those of one person, who gave one of them in a name that was lent to them. */
export function isSamePerson(
  one: Pick<GrantApproval, 'by' | 'actors'>,
  other: Pick<GrantApproval, 'by' | 'actors'>,
): boolean {
  return one.actors?.includes(other.by) === true || other.actors?.includes(one.by) === true;
}

/**
 * The grant that the parts come to at `now` (Unix ms). An end comes before every approval, whichever was first; an approval by who asked, or
 * after its time, does not count, nor does a second one of the same person. `undefined` where nothing was asked for.
 */
export function grantOf({ request, approvals, end }: GrantParts, now: number): Grant | undefined {
  if (!request) return undefined;
  const counted = approvals
    .filter((approval) => !hasAsked(approval, request) && approval.at < request.approveBefore)
    .toSorted((a, b) => a.at - b.at || (a.by < b.by ? -1 : 1))
    .filter((approval, index, all) => !all.slice(0, index).some((other) => isSamePerson(approval, other)))
    .slice(0, request.approvalsNeeded);
  const grantedAt = request.breakGlass
    ? request.requestedAt
    : counted.length === request.approvalsNeeded
      ? counted.at(-1)?.at
      : undefined;
  const expiresAt = grantedAt === undefined ? undefined : grantedAt + request.durationMs;
  return {
    ...request,
    approvals: counted,
    state: end?.state ?? stateAt(request, expiresAt, now),
    ...(grantedAt !== undefined && { grantedAt }),
    ...(expiresAt !== undefined && { expiresAt }),
    ...(end && { end }),
  };
}

function stateAt({ approveBefore }: GrantRequest, expiresAt: number | undefined, now: number): GrantState {
  if (expiresAt !== undefined) return now < expiresAt ? 'approved' : 'ended';
  return now < approveBefore ? 'requested' : 'expired';
}
