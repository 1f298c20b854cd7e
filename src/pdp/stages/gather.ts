import type { AttributeFact, AttributeOmission, AttributeSubject } from '../attribute.ts';
import type { BindingMatch } from '../bindings/binding.ts';
import { abortable } from '../abortable.ts';
import type { CallScope } from '../call-scope.ts';
import { type Refusal, isRefusal, refuse } from '../decision.ts';
import { messageOf } from '../errors.ts';
import { subjectsOf } from '../entity-question.ts';
import type { Identities } from '../identity.ts';
import type { PolicySnapshot } from '../policy-snapshot.ts';
import type { AttributeSource, PolicySnapshotSource } from '../ports.ts';
import { matchRoute } from '../route.ts';
import type { Authenticated, Informed } from '../trace.ts';

/** What `gather` needs. */
export interface Gathering {
  readonly snapshots: PolicySnapshotSource;
  readonly sources: readonly AttributeSource[];
  /** Entity types that groups become, by subject: a source that only gives groups is asked only where policies name them. */
  readonly groupTypes: { readonly [subject: AttributeSubject]: string };
}

/**
 * Picks the snapshot for this check, finds the binding that the request meets, and completes the picture: asks every source, in
 * parallel, whose subject is known and whose attributes the snapshot's policies can read.
 */
export function createGather({ snapshots, sources, groupTypes }: Gathering) {
  return async (
    authenticated: Authenticated,
    scope: CallScope,
    pinned?: PolicySnapshot,
  ): Promise<Informed | Refusal> => {
    const snapshot = pinned ?? snapshots.current();
    if (!snapshot) return refuse('policies_unavailable', 'no policy snapshot is loaded');
    const route = authenticated.asked ? undefined : matchRoute(snapshot.bindings, authenticated);
    if (route && isRefusal(route)) return route;
    const wanted = sources.filter((source) => isReadable(source, snapshot, groupTypes[source.subject]));
    const answers = wanted.flatMap((source) =>
      subjectIdsOf(authenticated, snapshot, route, source.subject).map((id) => ask(source, id, scope)),
    );
    const facts: AttributeFact[] = [];
    const omissions: AttributeOmission[] = [];
    for (const answer of answers.length === 0 ? [] : await Promise.all(answers)) {
      if (isRefusal(answer)) return answer;
      if (answer.status === 'omitted') omissions.push(answer);
      else facts.push(answer);
    }
    return { ...authenticated, snapshot, facts, omissions, ...(route && { route }) };
  };
}

function isReadable(
  source: AttributeSource,
  snapshot: PolicySnapshot,
  groupType: string | undefined,
): boolean {
  const { attributes, entityTypes } = snapshot.reads;
  return source.gives.some((name) =>
    name === 'groups' ? entityTypes.has(groupType ?? '') : attributes.has(name),
  );
}

function subjectIdsOf(
  authenticated: Authenticated,
  snapshot: PolicySnapshot,
  route: BindingMatch | undefined,
  subject: AttributeSubject,
): readonly string[] {
  const { identities, asked } = authenticated;
  const { bindings } = snapshot;
  const party = partyIdOf(identities, subject);
  const ids = party === undefined ? [] : [party];
  if (subject === 'workload') ids.push(...furtherWorkloads(authenticated, snapshot));
  if (route?.resource.pip === subject) ids.push(route.resource.uid.id);
  for (const entity of asked ? [asked.subject, asked.resource] : []) {
    const isKnown = entity && !ids.includes(entity.uid.id) && subjectsOf(entity, bindings).includes(subject);
    if (isKnown) ids.push(entity.uid.id);
  }
  return ids;
}

/** A policy that keeps a group of workloads out by `context.origin` means all that an information point knows to be in it. */
function furtherWorkloads(
  { identities: { source, origin }, pep }: Authenticated,
  { reads: { contextKeys } }: PolicySnapshot,
): readonly string[] {
  const read = [contextKeys.has('origin') && origin?.id, contextKeys.has('pep') && pep.workload?.id];
  const ids = read.filter((id) => typeof id === 'string' && id !== source?.id);
  return [...new Set(ids as string[])];
}

function partyIdOf({ user, device, source }: Identities, subject: AttributeSubject): string | undefined {
  switch (subject) {
    case 'user':
      return user?.id;
    case 'device':
      return device?.id;
    case 'workload':
      return source?.id;
    default:
      return undefined;
  }
}

async function ask(
  source: AttributeSource,
  subjectId: string,
  scope: CallScope,
): Promise<AttributeFact | AttributeOmission | Refusal> {
  const about = { source: source.name, subject: source.subject, subjectId, gives: source.gives };
  try {
    const answer = source.lookup(subjectId, scope);
    return { ...(answer instanceof Promise ? await abortable(answer, scope.signal) : answer), ...about };
  } catch (error) {
    const interrupted = scope.interruption();
    if (interrupted) return interrupted;
    const detail = `${source.name}: ${messageOf(error)}`;
    return source.onFailure === 'omit'
      ? { ...about, status: 'omitted', detail }
      : refuse('attribute_unavailable', detail);
  }
}
