import { beforeAll, describe, expect, test } from 'vitest';
import { createIssuer } from '../../../../src/pip/token/issuer.ts';
import { createTokenVerifier } from '../../../../src/pip/token/token-verifier.ts';
import { createWorkloadAuthenticator } from '../../../../src/pip/workload/workload.ts';
import {
  KUBERNETES_CLAIMS,
  KUBERNETES_TYPES,
  createKubernetesTokenReader,
} from '../../../../src/pip/workload/kubernetes-token.ts';
import { type TestIssuer, createTestIssuer } from '../../../support/tokens.ts';
import { START, keySetOf, manualClock } from '../fixture.ts';
import { type Asked, INGRESS, WEB, asked } from './fixture.ts';

const HEADER = 'x-workload-token';
const ISSUER = 'https://kubernetes.default.svc.cluster.local';
const AUDIENCE = 'cedar-pdp';

/** The claims of a projected token (Kubernetes, bound service account tokens), as an API server writes them. */
const CLAIMS = {
  sub: 'system:serviceaccount:frontend:web',
  'kubernetes.io': {
    namespace: 'frontend',
    node: { name: 'node-1', uid: '646e7c5e-32d6-4d42-9dbd-e504e6cbe6b1' },
    pod: { name: 'web-5d78', uid: '5e0bd49b-f040-43b0-99b7-22765a53f7f3' },
    serviceaccount: { name: 'web', uid: '14ee3fa4-a7e2-420f-9f9a-dbc4507c3798' },
  },
};

let cluster: TestIssuer;
beforeAll(async () => {
  cluster = await createTestIssuer({ issuer: ISSUER, audience: AUDIENCE, alg: 'RS256', now: () => START });
});

function authenticate(token: string, given: Asked = {}) {
  const issuer = createIssuer({
    name: 'cluster-1',
    issuer: ISSUER,
    use: 'workload',
    audiences: [AUDIENCE],
    algorithms: ['RS256'],
    types: KUBERNETES_TYPES,
    claims: KUBERNETES_CLAIMS,
  });
  const verifier = createTokenVerifier(
    [issuer],
    new Map([['cluster-1', keySetOf('cluster-1', cluster)]]),
    manualClock(),
  );
  const trustDomains = new Map([['cluster-1', 'prod.example.com']]);
  const read = createKubernetesTokenReader({ verifier, trustDomains, header: HEADER });
  return createWorkloadAuthenticator({ tokens: [read] }).authenticate(
    asked({ now: START, ...given, headers: [[HEADER, token], ...(given.headers ?? [])] }),
  );
}

const sign = (claims: Record<string, unknown> = {}) =>
  cluster.sign({ ...CLAIMS, ...claims }, { typ: undefined });

describe('a projected service account token', () => {
  test('names the workload that the mesh calls by the same namespace and service account', async () => {
    expect(await authenticate(await sign())).toMatchObject({
      source: {
        id: WEB,
        namespace: 'frontend',
        serviceAccount: 'web',
        evidence: 'kubernetes_token',
        provenUntil: START + 300_000,
      },
    });
  });

  test('names the origin where mutual TLS names somebody else as the source', async () => {
    expect(await authenticate(await sign(), { source: { principal: INGRESS } })).toMatchObject({
      source: { id: INGRESS },
      origin: { id: WEB, evidence: 'kubernetes_token' },
    });
  });

  test('that is missing is no evidence', () => {
    const notAsked = () => {
      throw new Error('not asked');
    };
    const read = createKubernetesTokenReader({
      verifier: { verify: notAsked, spell: notAsked, verifySpelled: notAsked, missingKeys: () => [] },
      trustDomains: new Map(),
      header: HEADER,
    });
    expect(createWorkloadAuthenticator({ tokens: [read] }).authenticate(asked({}))).not.toHaveProperty(
      'source',
    );
  });

  test.each<[string, string, string, Record<string, unknown>]>([
    ['is for another audience', 'token_audience_wrong', 'audience', { aud: ISSUER }],
    ['has expired', 'token_expired', 'expired', { exp: START / 1000 - 60 }],
    ['is of no service account', 'token_claims_refused', 'claims', { sub: 'system:node:node-1' }],
    [
      'has a subject with more parts',
      'token_claims_refused',
      'claims',
      { sub: 'system:serviceaccount:a:b:c' },
    ],
    [
      'is bound to no object, as old secrets are',
      'token_claims_refused',
      'claims',
      { 'kubernetes.io': undefined },
    ],
    [
      'contradicts itself about the namespace',
      'token_claims_refused',
      'claims',
      { 'kubernetes.io': { ...CLAIMS['kubernetes.io'], namespace: 'payments' } },
    ],
    [
      'contradicts itself about the service account',
      'token_claims_refused',
      'claims',
      { 'kubernetes.io': { ...CLAIMS['kubernetes.io'], serviceaccount: { name: 'other' } } },
    ],
    [
      'has names that climb',
      'token_claims_refused',
      'spiffe_id',
      {
        sub: 'system:serviceaccount:..:web',
        'kubernetes.io': { namespace: '..', serviceaccount: { name: 'web' } },
      },
    ],
    [
      'has names with a slash',
      'token_claims_refused',
      'spiffe_id',
      {
        sub: 'system:serviceaccount:frontend:web/sa/x',
        'kubernetes.io': { namespace: 'frontend', serviceaccount: { name: 'web/sa/x' } },
      },
    ],
    ['is of another issuer', 'token_issuer_unknown', 'issuer', { iss: 'https://other.example.com' }],
    ['is bound to a key', 'token_binding_failed', 'binding', { cnf: { jkt: 'x'.repeat(43) } }],
  ])('is refused where it %s', async (_what, refusal, cause, claims) => {
    expect(await authenticate(await sign(claims))).toEqual({
      refusal,
      detail: expect.stringContaining('service account token') as string,
      evidence: expect.stringMatching(/^sha256:[\w-]{43}$/) as string,
      cause,
    });
  });

  test('is refused where it is sent twice', async () => {
    const token = await sign();
    expect(await authenticate(token, { headers: [[HEADER, token]] })).toMatchObject({
      refusal: 'credentials_conflict',
    });
  });
});
