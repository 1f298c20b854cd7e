import type { AttributeFact, AttributeOmission, AttributeSubject } from '../attribute.ts';
import type { BindingMatch } from '../bindings/binding.ts';
import type { CallScope } from '../call-scope.ts';
import { type Refusal, isRefusal, refuse } from '../decision.ts';
import { type Outcome, ask } from '../facts/ask.ts';
import { Readings } from '../facts/reading.ts';
import { type KnownBy, subjectsIn } from '../facts/subjects.ts';
import { type MaybePromise, andThen } from '../maybe-promise.ts';
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
  return (
    authenticated: Authenticated,
    scope: CallScope,
    pinned?: PolicySnapshot,
  ): MaybePromise<Informed | Refusal> => {
    const snapshot = pinned ?? snapshots.current();
    if (!snapshot) return refuse('policies_unavailable', 'no policy snapshot is loaded');
    const route = authenticated.asked ? undefined : matchRoute(snapshot.bindings, authenticated);
    if (route && isRefusal(route)) return route;
    const asked = askAll(sources, readings, authenticated, { snapshot, route }, scope);
    // All of them have been asked by now, and none rejects. What is known at once is not waited for.
    return andThen(allKnown(asked) ? asked : inOrder(asked), (outcomes) => {
      const picture = completed(outcomes);
      return isRefusal(picture)
        ? picture
        : { ...authenticated, snapshot, ...picture, ...(route && { route }) };
    });
  };
}

function allKnown(asked: readonly MaybePromise<Outcome>[]): asked is readonly Outcome[] {
  return !asked.some((pending) => pending instanceof Promise);
}

/** Up to the first refusal: for what comes after it nobody waits. */
async function inOrder(asked: readonly MaybePromise<Outcome>[]): Promise<readonly Outcome[]> {
  const outcomes: Outcome[] = [];
  for (const pending of asked) {
    const outcome = await pending;
    outcomes.push(outcome);
    if (isRefusal(outcome)) break;
  }
  return outcomes;
}

function completed(
  outcomes: readonly Outcome[],
): Pick<Informed, 'facts' | 'omissions' | 'silentUntil'> | Refusal {
  const facts: AttributeFact[] = [];
  const omissions: AttributeOmission[] = [];
  let silentUntil = Number.POSITIVE_INFINITY;
  for (const outcome of outcomes) {
    if (isRefusal(outcome)) return outcome;
    if (outcome.status === 'silent') silentUntil = Math.min(silentUntil, outcome.freshUntil);
    else if (outcome.status === 'omitted') omissions.push(outcome);
    else facts.push(outcome);
  }
  return { facts, omissions, silentUntil };
}

function askAll(
  sources: readonly AttributeSource[],
  readings: Readings,
  authenticated: Authenticated,
  { snapshot, route }: { readonly snapshot: PolicySnapshot; readonly route: BindingMatch | undefined },
  scope: CallScope,
): (Outcome | Promise<Outcome>)[] {
  const asked: (Outcome | Promise<Outcome>)[] = [];
  let last: AttributeSubject | undefined;
  let subjects: readonly KnownBy[] = [];
  for (const source of sources) {
    // Sources that know of the same come one after the other, many of them.
    if (source.subject !== last) subjects = subjectsIn(authenticated, snapshot, route, source.subject);
    last = source.subject;
    for (const { subjectId, holder, unaskable } of subjects) {
      const reading = readings.of(source, holder, snapshot);
      if (reading) asked.push(ask({ source, reading, subjectId, unaskable }, scope));
    }
  }
  return asked;
}
