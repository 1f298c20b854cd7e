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
  return async (question: Received | Asked): Promise<Authenticated | Refusal> => {
    const identities = await identify(question, parts);
    if (isRefusal(identities)) return identities;
    const authenticated = { ...question, identities: revocations.revised(identities) };
    const refusal = revocations.refusal(authenticated);
    // A fault is told when the check would be evaluated: its record then says whom it was about.
    if (!refusal || FAULT_REASONS.has(refusal.refusal)) return authenticated;
    return refuseRevoked(refusal, identities);
  };
}

async function identify(
  question: Received | Asked,
  { workload, user, device }: Authenticators,
): Promise<Identities | Refusal> {
  const received = question.asked ? evidenceOf(question) : question;
  const found = workload.authenticate(received, question.asked && askingWorkload(question));
  const workloads = found instanceof Promise ? await found : found;
  if (isRefusal(workloads)) return refuseEvidence(workloads, { kind: 'workload' });
  const verifiedUser = await user.authenticate(received, workloads);
  if (verifiedUser && isRefusal(verifiedUser)) return refuseToken(verifiedUser, workloads);
  // Else the caller itself would be taken for the subject.
  if (question.asked && !question.asked.subject && !verifiedUser)
    return refuseToken(
      refuse('token_type_refused', 'the token of the subject is not one of a user'),
      workloads,
    );
  const provenDevice = await device.authenticate(received, workloads, verifiedUser);
  if (provenDevice && isRefusal(provenDevice)) return refuseDevice(provenDevice, workloads, verifiedUser);
  return {
    ...workloads,
    ...(verifiedUser && { user: verifiedUser }),
    ...(provenDevice && { device: provenDevice }),
    tokenState: verifiedUser ? 'valid' : 'absent',
  };
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
