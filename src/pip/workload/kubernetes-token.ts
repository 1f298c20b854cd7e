import { type Refusal, isRefusal, refuse } from '../../pdp/decision.ts';
import type { ProvenWorkload, VerifiedToken } from '../../pdp/identity.ts';
import type { ClaimMapping } from '../token/issuer.ts';
import { printable } from '../printable.ts';
import { parseSpiffeId } from '../spiffe/spiffe-id.ts';
import type { TokenVerifier } from '../token/token-verifier.ts';
import { type TokenWorkload, type WorkloadTokenReader, aboutToken, tokenIn } from './token-header.ts';

/** Settings of {@link createKubernetesTokenReader}. */
export interface KubernetesTokenOptions {
  /** Verifies tokens of issuers with the use `workload`, whose claims are mapped by {@link KUBERNETES_CLAIMS}. */
  readonly verifier: TokenVerifier;
  /** Trust domain of the clusters, by the name of the issuer. */
  readonly trustDomains: ReadonlyMap<string, string>;
  /** Lower-case name of the header that holds the bare token. */
  readonly header: string;
}

/** `typ` of such a token: an API server writes none. */
export const KUBERNETES_TYPES = ['', 'JWT'];

/** The private claims of a projected service account token. One that an API server has not bound to an object lacks them. */
export const KUBERNETES_CLAIMS: Required<Pick<ClaimMapping, 'attributes'>> = {
  attributes: {
    namespace: { claim: '/kubernetes.io/namespace', type: 'string' },
    service_account: { claim: '/kubernetes.io/serviceaccount/name', type: 'string' },
  },
};

/**
 * Makes the reader of Kubernetes' projected service account tokens: verified like any issuer's token, for one of our audiences, and mapped
 * to `spiffe://<trust domain>/ns/<namespace>/sa/<service account>`, the name that meshes give the same service account. `sub` and the
 * `kubernetes.io` claims must say the same.
 */
export function createKubernetesTokenReader(options: KubernetesTokenOptions): WorkloadTokenReader {
  const { verifier, trustDomains, header } = options;
  const read = async (token: string, now: number): Promise<TokenWorkload | Refusal> => {
    const verified = await verifier.verify(token, 'workload', now);
    const workload = isRefusal(verified) ? verified : workloadOf(verified, trustDomains.get(verified.issuer));
    return isRefusal(workload)
      ? aboutToken('service account token', header, token, workload)
      : { workload, token };
  };
  return (received) => {
    const token = tokenIn(received, header);
    return typeof token === 'string' ? read(token, received.receivedAt) : token;
  };
}

const SUBJECT = /^system:serviceaccount:([^:]+):([^:]+)$/;

function workloadOf(token: VerifiedToken, trustDomain: string | undefined): ProvenWorkload | Refusal {
  const { issuer, subject, claims, confirmation, expiresAt } = token;
  if (trustDomain === undefined) return refuse('token_issuer_unknown', `issuer '${issuer}' is no cluster`);
  if (confirmation) return refuse('token_binding_failed', 'it is bound to a key or certificate (cnf)');
  const [, namespace, account] = SUBJECT.exec(subject) ?? [];
  if (namespace === undefined || account === undefined)
    return refuse('token_claims_refused', `'sub' ${printable(subject)} is no service account`);
  if (claims['namespace'] !== namespace || claims['service_account'] !== account)
    return refuse('token_claims_refused', "'sub' and 'kubernetes.io' do not name the same service account");
  const identity = parseSpiffeId(`spiffe://${trustDomain}/ns/${namespace}/sa/${account}`);
  if ('invalid' in identity || identity.namespace === undefined)
    return refuse('token_claims_refused', `'sub' ${printable(subject)} cannot be written as a SPIFFE ID`, {
      cause: 'spiffe_id',
    });
  return { ...identity, evidence: 'kubernetes_token', provenUntil: expiresAt * 1000 };
}
