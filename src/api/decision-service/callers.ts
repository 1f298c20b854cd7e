import type { ServerUnaryCall } from '@grpc/grpc-js';
import type { Pep } from '../../pdp/access-request.ts';
import { type Refusal, refuse } from '../../pdp/decision.ts';
import { callerOf } from '../caller.ts';
import type { WorkloadIdentity } from '../../pdp/identity.ts';
import { type Grant, grantsOf } from './grants.ts';

/** Who may use the service. */
export interface Access {
  /** Whether the listener is plaintext, by explicit choice. */
  readonly plaintext: boolean;
  readonly grants: readonly Grant[];
  /** Whether a caller may have explanations; those of a plaintext listener have no identity. */
  readonly explains: (caller: WorkloadIdentity | undefined) => boolean;
}

/** A caller and what it may do. */
export interface Asker {
  readonly pep: Pep;
  /** Present: who calls is not known, so nothing may be asked. */
  readonly refusal?: Refusal;
  /** None: it may not ask for decisions. */
  readonly grants: readonly Grant[];
  readonly mayExplain: boolean;
}

/** Names the caller of a call at `now` (Unix ms). That a PEP may ask for its requests gives it nothing here. */
export function askerOf(
  call: Pick<ServerUnaryCall<unknown, unknown>, 'getPeer' | 'getAuthContext'>,
  access: Access,
  now: number,
): Asker {
  const { plaintext, grants, explains } = access;
  const caller = callerOf(call, plaintext, 'own', now);
  if (caller.refusal) return { ...caller, grants: [], mayExplain: false };
  const { pep } = caller;
  return { pep, grants: grantsOf(grants, pep, plaintext), mayExplain: explains(pep.workload) };
}

/** Why a caller may not have decisions; `undefined`: it may, about what it was granted. */
export function mayNotAsk({ refusal, grants }: Asker): Refusal | undefined {
  if (refusal || grants.length > 0) return refusal;
  return refuse('caller_not_allowed', 'the caller is not on the allow list of this service');
}

/** Why a caller may not have explanations; `undefined`: it may. */
export function mayNotHaveWhy({ refusal, mayExplain }: Asker): Refusal | undefined {
  if (refusal || mayExplain) return refusal;
  return refuse('caller_not_allowed', 'the caller is not on the allow list of explanations');
}
