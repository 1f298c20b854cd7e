import type { AccessRequest, Pep } from '../pdp/access-request.ts';
import { isRefusal } from '../pdp/decision.ts';
import { InputError } from '../pdp/errors.ts';
import type { ProvenWorkload, WorkloadEvidence } from '../pdp/identity.ts';
import type { WorkloadAuthenticator } from '../pdp/ports.ts';
import type { RequestCase } from './test-case.ts';

/** Who takes part in a case beside user and device. */
export interface GivenWorkloads {
  readonly workload: WorkloadAuthenticator;
  readonly pep: Pep;
}

/**
 * The workloads of a case. Principals are read by the `real` authenticator; what further evidence would have proven is given. Throws
 * `InputError` where that names something that is no SPIFFE ID.
 */
export function givenWorkloads(
  test: RequestCase,
  request: AccessRequest,
  real: WorkloadAuthenticator,
): GivenWorkloads {
  const { source_evidence: evidence, origin_evidence: further, claimed_sources: claimed } = test.given;
  const named = (key: 'origin' | 'pep'): ProvenWorkload | undefined => {
    const name = test.given[key] ?? '';
    const found = name === '' ? undefined : readName(name, request, real);
    if (name !== '' && !found)
      throw new InputError('a test case cannot be used', [
        test.problem(`given.${key} is no SPIFFE ID: ${name}`),
      ]);
    return found;
  };
  const origin = named('origin');
  const pep = named('pep');
  return {
    pep: { address: 'test', ...(pep && { workload: pep }) },
    workload: {
      async authenticate(received) {
        const found = await real.authenticate(received);
        if (isRefusal(found)) return found;
        return {
          ...found,
          ...(found.source && { source: provenBy(found.source, evidence) }),
          // No principal reaches past the source.
          ...(origin && { origin: provenBy(origin, further ?? 'xfcc') }),
          ...(claimed && { claimedSources: claimed }),
        };
      },
    },
  };
}

function provenBy(workload: ProvenWorkload, evidence: WorkloadEvidence | null | undefined): ProvenWorkload {
  return evidence ? { ...workload, evidence } : workload;
}

function readName(
  principal: string,
  request: AccessRequest,
  real: WorkloadAuthenticator,
): ProvenWorkload | undefined {
  const found = real.authenticate({
    id: 'test',
    surface: 'ext_authz',
    pep: { address: 'test' },
    receivedAt: 0,
    startedAt: 0,
    request: { ...request, source: { principal, certificate: '', service: '' } },
    canonical: { method: '', path: '', host: '' },
  });
  return 'source' in found ? found.source : undefined;
}
