import {
  DENY_REASONS,
  type DenyReason,
  PERMIT_REASON,
  denyFor,
  letsThrough,
  refuse,
} from '../../pdp/decision.ts';
import type { HttpStatusOf } from './replayer.ts';

/** The HTTP statuses of decisions as plain data, for other threads. */
export interface StatusTable {
  /** Of what is let through. */
  readonly letThrough: number;
  readonly denied: Readonly<Record<DenyReason, number>>;
}

/** What a table of reasons says, as data. */
export function statusTable(httpStatus: HttpStatusOf): StatusTable {
  const rows = DENY_REASONS.map((reason) => [reason, httpStatus(denyFor(refuse(reason)))] as const);
  return {
    letThrough: httpStatus({ verdict: 'permit', reason: PERMIT_REASON, policies: [] }),
    denied: Object.fromEntries(rows) as Record<DenyReason, number>,
  };
}

/** The same as a function again. */
export function statusOf({ letThrough, denied }: StatusTable): HttpStatusOf {
  return (decision) =>
    decision.verdict === 'permit' || letsThrough(decision) ? letThrough : denied[decision.reason];
}
