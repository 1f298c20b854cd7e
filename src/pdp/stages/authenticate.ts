import { type Refusal, isRefusal, refuse } from '../decision.ts';
import type { DeviceAuthenticator, UserAuthenticator, WorkloadAuthenticator } from '../ports.ts';
import type { Asked, Authenticated, Received } from '../trace.ts';
import { askingWorkload, evidenceOf } from '../asked-evidence.ts';

/** What `authenticate` needs. */
export interface Authenticators {
  readonly workload: WorkloadAuthenticator;
  readonly user: UserAuthenticator;
  readonly device: DeviceAuthenticator;
}

/** Turns evidence into identities: workload, then user, then device. Bad evidence refuses; missing evidence is just missing. */
export function createAuthenticate({ workload, user, device }: Authenticators) {
  return async (question: Received | Asked): Promise<Authenticated | Refusal> => {
    const received = question.asked ? evidenceOf(question) : question;
    const found = workload.authenticate(received, question.asked && askingWorkload(question));
    const workloads = found instanceof Promise ? await found : found;
    if (isRefusal(workloads)) return workloads;
    const verifiedUser = await user.authenticate(received, workloads);
    if (verifiedUser && isRefusal(verifiedUser)) return verifiedUser;
    // Else the caller itself would be taken for the subject.
    if (question.asked && !question.asked.subject && !verifiedUser)
      return refuse('token_type_refused', 'the token of the subject is not one of a user');
    const provenDevice = await device.authenticate(received, workloads, verifiedUser);
    if (provenDevice && isRefusal(provenDevice)) return provenDevice;
    return {
      ...question,
      identities: {
        ...workloads,
        ...(verifiedUser && { user: verifiedUser }),
        ...(provenDevice && { device: provenDevice }),
        tokenState: verifiedUser ? 'valid' : 'absent',
      },
    };
  };
}
