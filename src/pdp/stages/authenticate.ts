import { type Refusal, isRefusal } from '../decision.ts';
import type { DeviceAuthenticator, UserAuthenticator, WorkloadAuthenticator } from '../ports.ts';
import type { Authenticated, Received } from '../trace.ts';

/** What `authenticate` needs. */
export interface Authenticators {
  readonly workload: WorkloadAuthenticator;
  readonly user: UserAuthenticator;
  readonly device: DeviceAuthenticator;
}

/** Turns evidence into identities: workload, then user, then device. Bad evidence refuses; missing evidence is just missing. */
export function createAuthenticate({ workload, user, device }: Authenticators) {
  return async (received: Received): Promise<Authenticated | Refusal> => {
    const { request, receivedAt } = received;
    const workloads = workload.authenticate(request);
    if (isRefusal(workloads)) return workloads;
    const verifiedUser = await user.authenticate(request, receivedAt);
    if (verifiedUser && isRefusal(verifiedUser)) return verifiedUser;
    const provenDevice = await device.authenticate(request, verifiedUser, receivedAt);
    if (provenDevice && isRefusal(provenDevice)) return provenDevice;
    return {
      ...received,
      identities: {
        ...workloads,
        ...(verifiedUser && { user: verifiedUser }),
        ...(provenDevice && { device: provenDevice }),
        tokenState: verifiedUser ? 'valid' : 'absent',
      },
    };
  };
}
