import type { AttributeFact, AttributeOmission } from '../attribute.ts';
import type { BindingMatch } from '../bindings/binding.ts';
import type { CallScope } from '../call-scope.ts';
import { type Refusal, isRefusal, refuse } from '../decision.ts';
import { type Outcome, ask } from '../facts/ask.ts';
import { Readings } from '../facts/reading.ts';
import { subjectsIn } from '../facts/subjects.ts';
import type { PolicySnapshot } from '../policy-snapshot.ts';
import type { AttributeSource, PolicySnapshotSource } from '../ports.ts';
import { matchRoute } from '../route.ts';
import type { Authenticated, Informed } from '../trace.ts';

/** What `gather` needs. */
export interface Gathering {
  readonly snapshots: PolicySnapshotSource;
  /** In the order in which their words go where they are equally new. */
  readonly sources: readonly AttributeSource[];
}

/**
 * Picks the snapshot for this check, finds the binding that the request meets, and completes the picture: asks every source, in
 * parallel, whose subject is known and of whose attributes the snapshot's policies can read one.
 */
export function createGather({ snapshots, sources }: Gathering) {
  const readings = new Readings();
  return async (
    authenticated: Authenticated,
    scope: CallScope,
    pinned?: PolicySnapshot,
  ): Promise<Informed | Refusal> => {
    const snapshot = pinned ?? snapshots.current();
    if (!snapshot) return refuse('policies_unavailable', 'no policy snapshot is loaded');
    const route = authenticated.asked ? undefined : matchRoute(snapshot.bindings, authenticated);
    if (route && isRefusal(route)) return route;
    const asked = askAll(sources, readings, authenticated, { snapshot, route }, scope);
    const facts: AttributeFact[] = [];
    const omissions: AttributeOmission[] = [];
    let silentUntil = Number.POSITIVE_INFINITY;
    for (const pending of asked) {
      // All of them have been asked by now, and none rejects. What is known at once is not waited for.
      const outcome = pending instanceof Promise ? await pending : pending;
      if (isRefusal(outcome)) return outcome;
      if (outcome.status === 'silent') silentUntil = Math.min(silentUntil, outcome.freshUntil);
      else if (outcome.status === 'omitted') omissions.push(outcome);
      else facts.push(outcome);
    }
    return { ...authenticated, snapshot, facts, omissions, silentUntil, ...(route && { route }) };
  };
}

function askAll(
  sources: readonly AttributeSource[],
  readings: Readings,
  authenticated: Authenticated,
  { snapshot, route }: { readonly snapshot: PolicySnapshot; readonly route: BindingMatch | undefined },
  scope: CallScope,
): (Outcome | Promise<Outcome>)[] {
  const asked: (Outcome | Promise<Outcome>)[] = [];
  for (const source of sources) {
    for (const { subjectId, holder, unaskable } of subjectsIn(
      authenticated,
      snapshot,
      route,
      source.subject,
    )) {
      const reading = readings.of(source, holder, snapshot);
      if (reading) asked.push(ask({ source, reading, subjectId, unaskable }, scope));
    }
  }
  return asked;
}
