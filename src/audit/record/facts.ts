import type { DecisionTrace } from '../../pdp/trace.ts';
import { capped, integerOrAbsent } from './json-value.ts';
import { type Limits, leftOut } from './limits.ts';

/** Where the facts came from and how old they were, and what was left out. Not what they said: that is in `entities`. */
export function pip(
  { facts, omissions = [], receivedAt }: DecisionTrace,
  limits: Limits,
): readonly object[] | undefined {
  if (facts === undefined || facts.length + omissions.length === 0) return undefined;
  const { items, text } = limits;
  const found = facts.slice(0, items).map((fact) => ({
    source: capped(fact.source, text),
    subject: fact.subject,
    status: fact.status,
    observed_at: integerOrAbsent(fact.observedAt),
    age_ms: integerOrAbsent(Math.max(0, receivedAt - fact.observedAt)),
    // That the source did not say when it observed; that it is past its freshness; that a security event said so.
    assumed: fact.assumed,
    stale: fact.stale,
    event: fact.event,
    left_out: fact.leftOut && leftOut(fact.leftOut, limits),
  }));
  if (omissions.length === 0) return found;
  const left = omissions.slice(0, items).map((omission) => ({
    source: capped(omission.source, text),
    subject: omission.subject,
    status: omission.status,
    left_out: leftOut(omission.leftOut, limits),
  }));
  return [...found, ...left];
}
