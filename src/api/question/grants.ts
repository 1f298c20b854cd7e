import type { Pep } from '../../pdp/access-request.ts';
import { type Refusal, refuse } from '../../pdp/decision.ts';
import type { EntityQuestion } from '../../pdp/entity-question.ts';

/** What a search can look for. */
export type SearchedFor = 'subject' | 'resource' | 'action';

/** What some callers may ask about. */
export interface Grant {
  /** Whether a caller is one of them. `plaintext`: callers of a plaintext listener, whoever they are. */
  readonly callers: ((caller: Pep) => boolean) | 'plaintext';
  /** Entity types that they may assert subjects of, in full; `*`: any. Subjects that a token proves need no grant. */
  readonly subjects: ReadonlySet<string>;
  /** Entity types that they may ask about, in full; `*`: any. */
  readonly resources: ReadonlySet<string>;
  /** What they may search for: searching lists what asking can only confirm. */
  readonly search: ReadonlySet<SearchedFor>;
  /** What they may assert, as `resource.status`; `resource.*` is everything about the resource. */
  readonly properties: ReadonlySet<string>;
}

/** The grants of a caller. None: it may not ask. */
export function grantsOf(grants: readonly Grant[], caller: Pep, plaintext: boolean): readonly Grant[] {
  return grants.filter(({ callers }) => (callers === 'plaintext' ? plaintext : callers(caller)));
}

/** Why no one grant covers the question, or the search by it (`caller_not_allowed`); `undefined`: one does. */
export function grantRefusal(
  question: EntityQuestion,
  grants: readonly Grant[],
  searched?: SearchedFor,
): Refusal | undefined {
  let excess: string | undefined = 'ask here';
  for (const grant of grants) {
    excess =
      searched === undefined || grant.search.has(searched)
        ? excessOf(question, grant)
        : `search for what is a ${searched}`;
    if (excess === undefined) return undefined;
  }
  return refuse('caller_not_allowed', `the caller may not ${excess}`);
}

function excessOf({ subject, resource, asserted }: EntityQuestion, grant: Grant): string | undefined {
  const { subjects, resources, properties } = grant;
  if (subject && !subjects.has('*') && !subjects.has(subject.uid.type))
    return `assert subjects of type ${subject.uid.type}`;
  if (!resources.has('*') && !resources.has(resource.uid.type))
    return `ask about resources of type ${resource.uid.type}`;
  const excess = asserted.find(
    (name) =>
      name !== 'subject' && !properties.has(name) && !properties.has(`${name.slice(0, name.indexOf('.'))}.*`),
  );
  return excess === undefined ? undefined : `assert ${excess}`;
}
