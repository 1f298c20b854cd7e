import type { Revocations } from './ports.ts';

/** Where nothing is ever revoked: policy tests, rehearsals. */
export const NO_REVOCATIONS: Revocations = {
  refusal: () => undefined,
  revised: (identities) => identities,
  isCurrent: () => true,
};
