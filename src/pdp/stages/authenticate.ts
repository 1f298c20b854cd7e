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
    const found = workload.authenticate(received);
    const workloads = found instanceof Promise ? await found : found;
    if (isRefusal(workloads)) return workloads;
    const verifiedUser = await user.authenticate(received, workloads);
    if (verifiedUser && isRefusal(verifiedUser)) return verifiedUser;
    const provenDevice = await device.authenticate(received, workloads, verifiedUser);
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
