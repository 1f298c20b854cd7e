import type { AttributeFact } from './attribute.ts';
import type { Identities } from './identity.ts';
import type { RecentAnswer } from './recent-answers.ts';
import type { DecisionTrace, Evaluated, Informed } from './trace.ts';

/** Whether a question that was asked before now rests on the very same: then so does its answer. `now` in Unix ms. */
export function restsOnTheSame({ evaluated }: RecentAnswer, informed: Informed, now: number): boolean {
  const { inputsValidUntil } = evaluated;
  return (
    informed.snapshot === evaluated.snapshot &&
    now < inputsValidUntil &&
    // What was observed is the later, the earlier it is: a clock that went back changes that.
    informed.receivedAt >= evaluated.receivedAt &&
    inputsValidUntil <= informed.silentUntil &&
    informed.omissions.length === 0 &&
    sameIdentities(informed.identities, evaluated.identities) &&
    sameMembers(informed.pep.workload, evaluated.pep.workload) &&
    sameFacts(informed.facts, evaluated.facts, inputsValidUntil)
  );
}

/** The same answer to the same question, asked again by `informed` at `now` (Unix ms). */
export function again(
  recent: RecentAnswer,
  informed: Informed,
  now: number,
): Evaluated & Pick<DecisionTrace, 'decision' | 'recent'> {
  const { facts, cedar, evaluation, inputsValidUntil, postureLeftOut } = recent.evaluated;
  return {
    ...informed,
    facts,
    cedar,
    evaluation,
    inputsValidUntil,
    ...(postureLeftOut && { postureLeftOut }),
    cache: { hit: true, of: recent.of, ageMs: now - recent.evaluatedAt },
    decision: recent.decision,
    recent,
  };
}

/** Member by member, whatever members there are. */
function sameIdentities(a: Identities, b: Identities): boolean {
  return everyMember(a, b, (one, other) => one === other || (isObject(one) && sameMembers(one, other)));
}

/** The same facts, which are good for at least as long as the answer is. */
function sameFacts(a: readonly AttributeFact[], b: readonly AttributeFact[], until: number): boolean {
  if (a.length !== b.length) return false;
  for (const [index, fact] of a.entries())
    if (fact.freshUntil < until || !sameMembers(fact, b[index], 'freshUntil')) return false;
  return true;
}

/** The same members with the very same values, but for one. What holds other objects is only the same where these are. */
function sameMembers(a: object | undefined, b: unknown, apartFrom?: string): boolean {
  if (a === b) return true;
  if (!isObject(a) || !isObject(b)) return false;
  return everyMember(a, b, (one, other, name) => one === other || name === apartFrom);
}

function everyMember(
  a: object,
  b: object,
  isSame: (one: unknown, other: unknown, name: string) => boolean,
): boolean {
  let members = 0;
  for (const name in a) {
    members += 1;
    if (!isSame(Reflect.get(a, name), Reflect.get(b, name), name)) return false;
  }
  for (const _name in b) members -= 1;
  return members === 0;
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null;
}
