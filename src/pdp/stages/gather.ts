import type { AttributeFact, AttributeOmission, AttributeSubject } from '../attribute.ts';
import type { BindingMatch } from '../bindings/binding.ts';
import { abortable } from '../abortable.ts';
import type { CallScope } from '../call-scope.ts';
import { type Refusal, isRefusal, refuse } from '../decision.ts';
import { messageOf } from '../errors.ts';
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
  return async (authenticated: Authenticated, scope: CallScope): Promise<Informed | Refusal> => {
    const snapshot = snapshots.current();
    if (!snapshot) return refuse('policies_unavailable', 'no policy snapshot is loaded');
    const route = matchRoute(snapshot.bindings, authenticated);
    if (route && isRefusal(route)) return route;
    const wanted = sources.filter((source) => isReadable(source, snapshot, groupTypes[source.subject]));
    const answers = wanted.flatMap((source) => {
      const subjectId = subjectIdOf(authenticated.identities, route, source.subject);
      return subjectId === undefined ? [] : [ask(source, subjectId, scope)];
    });
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

function subjectIdOf(
  { user, device, source }: Identities,
  route: BindingMatch | undefined,
  subject: AttributeSubject,
): string | undefined {
  switch (subject) {
    case 'user':
      return user?.id;
    case 'device':
      return device?.id;
    case 'workload':
      return source?.id;
    default:
      return route?.resource.pip === subject ? route.resource.uid.id : undefined;
  }
}

async function ask(
  source: AttributeSource,
  subjectId: string,
  scope: CallScope,
): Promise<AttributeFact | AttributeOmission | Refusal> {
  const about = { source: source.name, subject: source.subject, subjectId, gives: source.gives };
  try {
    const answer = source.lookup(subjectId, scope.signal);
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
