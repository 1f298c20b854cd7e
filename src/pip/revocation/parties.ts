import { typeName } from '../../pdp/entities.ts';
import type { VerifiedToken } from '../../pdp/identity.ts';
import type { SubjectKind } from '../../pdp/subject-key.ts';
import type { Authenticated } from '../../pdp/trace.ts';

/** Who takes part in a question, by kind; of a kind that is not known of, nobody. */
export type Parties = (kind: SubjectKind) => readonly string[];

const NOBODY: readonly string[] = [];

/** Those who were proven: the user with all that the token says, who acts for them, the device, and the workloads. */
export function provenParties({ identities, pep }: Authenticated): Parties {
  const { user, device, source, origin } = identities;
  return (kind) => {
    switch (kind) {
      case 'device':
        return device === undefined ? NOBODY : [device.id];
      case 'workload':
        return [source, origin, pep.workload].flatMap((workload) => workload?.id ?? NOBODY);
      default:
        return user === undefined ? NOBODY : namedBy(user, kind);
    }
  };
}

/** The calling application that a token of its own has proven; `undefined` where none has. */
export function callingParties({ pep: { application } }: Authenticated): Parties | undefined {
  return application && ((kind) => namedBy(application, kind));
}

/** Whom a token names, and who holds it. */
function namedBy({ id, token }: { id: string; token: VerifiedToken }, kind: SubjectKind): readonly string[] {
  const named = (name: string | undefined) => (name === undefined ? NOBODY : [`${token.issuer}/${name}`]);
  switch (kind) {
    case 'user':
      return [id, ...(token.actors ?? NOBODY)];
    case 'email':
      return named(token.email);
    case 'session':
      return named(token.sessionId);
    case 'token':
      return named(token.tokenId);
    case 'tenant':
      return named(token.tenantId);
    default:
      return NOBODY;
  }
}

const KINDS: ReadonlyMap<string, SubjectKind> = new Map([
  [typeName('User'), 'user'],
  [typeName('Device'), 'device'],
  [typeName('Workload'), 'workload'],
]);
const ASSERTED: ReadonlySet<string> = new Set(KINDS.values());

/**
 * Whom the caller only names, in a question about entities; `undefined` where that is nobody. Also by a type of the application's own, where
 * information points know its entities as users, devices or workloads.
 */
export function assertedParties({ asked }: Authenticated): Parties | undefined {
  const subject = asked?.subject;
  if (subject === undefined) return undefined;
  const { uid, subjects } = subject;
  const kind = KINDS.get(uid.type);
  const named = [uid.id];
  return kind !== undefined || subjects.some((one) => ASSERTED.has(one))
    ? (wanted) => (wanted === kind || (ASSERTED.has(wanted) && subjects.includes(wanted)) ? named : NOBODY)
    : undefined;
}
