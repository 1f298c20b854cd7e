import { type MaybePromise, andThen } from '../maybe-promise.ts';
import { FAULT_REASONS, type Refusal, isRefusal, refuse } from '../decision.ts';
import type { Identities, UserIdentity, Workloads } from '../identity.ts';
import type { DeviceAuthenticator, Revocations, UserAuthenticator, WorkloadAuthenticator } from '../ports.ts';
import { refuseEvidence, refuseRevoked, refusedTokenState } from '../refused-evidence.ts';
import type { Asked, Authenticated, Received } from '../trace.ts';
import { askingWorkload, evidenceOf } from '../asked-evidence.ts';

/** What `authenticate` needs. */
export interface Authenticators {
  readonly workload: WorkloadAuthenticator;
  readonly user: UserAuthenticator;
  readonly device: DeviceAuthenticator;
  readonly revocations: Revocations;
}

/**
 * Turns evidence into identities: workload, then user, then device. Bad evidence refuses, what has been revoked among it; missing evidence
 * is just missing.
 */
export function createAuthenticate(parts: Authenticators) {
  const { revocations } = parts;
  return (question: Received | Asked): MaybePromise<Authenticated | Refusal> =>
    andThen(identify(question, parts), (identities) => {
      if (isRefusal(identities)) return identities;
      const authenticated = { ...question, identities: revocations.revised(identities) };
      const refusal = revocations.refusal(authenticated);
      // A fault is told when the check would be evaluated: its record then says whom it was about.
      if (!refusal || FAULT_REASONS.has(refusal.refusal)) return authenticated;
      return refuseRevoked(refusal, identities);
    });
}

/** Evidence in its order: workload, user, device. What is known at once is not waited for. */
function identify(question: Received | Asked, parts: Authenticators): MaybePromise<Identities | Refusal> {
  const received = question.asked ? evidenceOf(question) : question;
  const found = parts.workload.authenticate(received, question.asked && askingWorkload(question));
  return andThen(found, (workloads) =>
    isRefusal(workloads)
      ? refuseEvidence(workloads, { kind: 'workload' })
      : andThen(parts.user.authenticate(received, workloads), (user) =>
          identifyDevice(question, received, { workloads, user }, parts),
        ),
  );
}

interface Found {
  readonly workloads: Workloads;
  readonly user: UserIdentity | Refusal | undefined;
}

function identifyDevice(
  question: Received | Asked,
  received: Received,
  { workloads, user }: Found,
  { device }: Authenticators,
): MaybePromise<Identities | Refusal> {
  if (user && isRefusal(user)) return refuseToken(user, workloads);
  // Else the caller itself would be taken for the subject.
  if (question.asked && !question.asked.subject && !user)
    return refuseToken(
      refuse('token_type_refused', 'the token of the subject is not one of a user'),
      workloads,
    );
  return andThen(device.authenticate(received, workloads, user), (proven) =>
    proven && isRefusal(proven)
      ? refuseDevice(proven, workloads, user)
      : {
          ...workloads,
          ...(user && { user }),
          ...(proven && { device: proven }),
          tokenState: user ? 'valid' : 'absent',
        },
  );
}

function refuseToken(refusal: Refusal, workloads: Workloads): Refusal {
  const proven = { ...workloads, tokenState: refusedTokenState(refusal) };
  return refuseEvidence(refusal, { kind: 'token', proven });
}

function refuseDevice(refusal: Refusal, workloads: Workloads, user: UserIdentity | undefined): Refusal {
  const tokenState = user ? ('valid' as const) : ('absent' as const);
  return refuseEvidence(refusal, {
    kind: 'device',
    proven: { ...workloads, ...(user && { user }), tokenState },
  });
}
