import type { AccessRequest } from './pdp/access-request.ts';
import { CallScope } from './pdp/call-scope.ts';
import { type DecisionPointParts, createDecisionPoint } from './pdp/decide.ts';
import { decisionId } from './pdp/decision-id.ts';
import { HeaderFields } from './pdp/header-fields.ts';
import { NO_REVOCATIONS } from './pdp/no-revocations.ts';
import type { Issuer } from './pip/token/issuer.ts';
import type { TokenVerifier } from './pip/token/token-verifier.ts';

/** What a token has to look like to get as far as its signature. */
type IssuerLook = Pick<Issuer, 'issuer' | 'use' | 'registeredIn' | 'algorithms' | 'types'>;

const ROUNDS = 30;
const TIMEOUT_MS = 5000;

/**
 * Runs the path of a check a few times before anybody asks: the engine's code is compiled on first use, which takes longer than a
 * check may. Nothing is recorded, cached or counted, and no information point is asked: the questions are nobody's.
 */
export async function warmUp(
  parts: DecisionPointParts,
  verifier: TokenVerifier,
  issuers: readonly IssuerLook[],
): Promise<void> {
  const point = createDecisionPoint({
    ...parts,
    sources: [],
    revocations: NO_REVOCATIONS,
    maxAgeMs: 0,
    recorder: { record: () => Promise.resolve() },
    observer: { checked: () => undefined },
  });
  const tokens = issuers.map((issuer) => ({ token: unsignedToken(issuer), use: issuer.use }));
  for (let round = 0; round < ROUNDS; round++) {
    const receivedAt = parts.clock.now();
    using scope = new CallScope(parts.clock, TIMEOUT_MS);
    const envelope = {
      id: decisionId(receivedAt),
      surface: 'ext_authz',
      pep: { address: '' },
      receivedAt,
      startedAt: parts.clock.monotonic(),
    } as const;
    await point.decide({ envelope, question: nobodysRequest(round), scope, decodeUs: 0 });
    for (const { token, use } of tokens) await verifier.verify(token, use, receivedAt);
  }
}

function nobodysRequest(round: number): AccessRequest {
  const nobody = { principal: '', certificate: '', service: '' };
  return {
    source: nobody,
    destination: { ...nobody, principal: 'spiffe://warm-up.invalid/service' },
    http: {
      method: 'GET',
      path: `/warm-up/${round}`,
      host: 'warm-up.invalid',
      scheme: 'https',
      protocol: '',
      headers: new HeaderFields([], false),
      size: -1,
    },
    streamId: '',
    sni: '',
    contextExtensions: new Map(),
    metadata: new Map(),
  };
}

/** Goes all the way to the signature check, where it fails. */
function unsignedToken({ issuer: iss, registeredIn, algorithms, types }: IssuerLook): string {
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const header = { alg: algorithms[0], typ: types[0], ...(registeredIn === 'header' && { iss }) };
  return `${part(header)}.${part({ iss })}.${Buffer.alloc(64).toString('base64url')}`;
}
