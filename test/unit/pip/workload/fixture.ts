import type { Peer } from '../../../../src/pdp/access-request.ts';
import type { WorkloadIdentity } from '../../../../src/pdp/identity.ts';
import type { Received } from '../../../../src/pdp/trace.ts';
import { parseSpiffeId } from '../../../../src/pip/spiffe/spiffe-id.ts';
import { receivedWith } from '../fixture.ts';

export const WEB = 'spiffe://prod.example.com/ns/frontend/sa/web';
export const INGRESS = 'spiffe://prod.example.com/ns/edge/sa/ingress';
export const LEDGER = 'spiffe://prod.example.com/ns/ledger/sa/ledger-api';
export const PEP = 'spiffe://prod.example.com/ns/mesh/sa/pep';
export const PAYMENT = 'spiffe://prod.example.com/ns/payments/sa/payment-api';

/** What a test says about one question of a PEP. */
export interface Asked {
  readonly pep?: string;
  readonly source?: Partial<Peer>;
  readonly destination?: string;
  readonly headers?: readonly (readonly [string, string])[];
  /** Unix ms; now where not given, since certificates of tests are made now. */
  readonly now?: number;
}

/** A question of the PEP, to the ledger, unless said otherwise. */
export function asked({ pep = PEP, source = {}, destination = LEDGER, headers = [], now }: Asked): Received {
  const received = receivedWith(
    { source, headers, destination: { principal: destination } },
    now ?? Date.now(),
  );
  return { ...received, pep: { address: '127.0.0.1:1', ...(pep !== '' && { workload: workload(pep) }) } };
}

/** A SPIFFE ID that is right. */
export function workload(id: string): WorkloadIdentity {
  const identity = parseSpiffeId(id);
  if ('invalid' in identity) throw new Error(identity.invalid);
  return identity;
}

/** A rule that names workloads. */
export function oneOf(...ids: readonly string[]): (identity: WorkloadIdentity) => boolean {
  return ({ id }) => ids.includes(id);
}
