import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { SYSTEM_CLOCK } from '../../../src/compose/core.ts';
import { openTokens } from '../../../src/compose/tokens.ts';
import { openWorkloads, workloadTokenRule } from '../../../src/compose/workloads.ts';
import { ConfigSchema } from '../../../src/config.ts';
import type { TrustBundles } from '../../../src/pdp/x509-svid.ts';
import { bundlesOf } from '../../support/svids.ts';
import { createTestCa } from '../../support/test-ca.ts';
import { type TestIssuer, createTestIssuer } from '../../support/tokens.ts';
import { memoryLog } from '../pip/fixture.ts';
import { type Asked, PEP, WEB, asked } from '../pip/workload/fixture.ts';

const CLUSTER = 'https://kubernetes.default.svc.cluster.local';

let folder: string;
let stack: AsyncDisposableStack;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'pdp-workloads-'));
  stack = new AsyncDisposableStack();
  stack.defer(() => rm(folder, { recursive: true, force: true, maxRetries: 20 }));
});
afterEach(() => stack.disposeAsync());

/** Authenticators as the process wires them. */
async function wire(workloads: object, issuers: readonly object[] = [], bundles: TrustBundles = new Map()) {
  const config = ConfigSchema.parse({
    spiffe: {
      source: 'files',
      cert_file: 'c',
      key_file: 'k',
      bundles: [{ trust_domain: 'prod.example.com', file: 'b' }],
    },
    grpc: { allow: [PEP] },
    policies: { sets: ['p'] },
    issuers,
    workloads,
  });
  const isWorkloadToken = workloadTokenRule(config.workloads);
  const parts = { clock: SYSTEM_CLOCK, log: memoryLog(), isWorkloadToken };
  const { verifier, user } = await openTokens(config.issuers, config.tokens, parts, stack);
  const workload = openWorkloads(config, { verifier, bundles: () => bundles });
  return async (given: Asked) => {
    const received = asked(given);
    const found = await workload.authenticate(received);
    if ('refusal' in found) return found;
    return { ...found, user: await user.authenticate(received, found) };
  };
}

async function issuerWith(name: string, issuer: TestIssuer, more: object): Promise<object> {
  const file = join(folder, `${name}.json`);
  await writeFile(file, JSON.stringify(issuer.jwks));
  const { audience, algorithm } = issuer;
  return {
    name,
    issuer: issuer.issuer,
    audiences: [audience],
    algorithms: [algorithm],
    jwks: { file },
    ...more,
  };
}

describe('evidence about workloads, as configured', () => {
  test('a service account token of a cluster names the workload', async () => {
    const cluster = await createTestIssuer({ issuer: CLUSTER, audience: 'cedar-pdp', alg: 'RS256' });
    const kubernetes = { trust_domain: 'prod.example.com' };
    const ask = await wire({}, [await issuerWith('cluster', cluster, { use: 'workload', kubernetes })]);
    const claims = {
      sub: 'system:serviceaccount:frontend:web',
      'kubernetes.io': { namespace: 'frontend', serviceaccount: { name: 'web' } },
    };
    const token = await cluster.sign(claims, { typ: undefined });
    expect(await ask({ headers: [['x-workload-token', token]] })).toMatchObject({
      source: { id: WEB, evidence: 'kubernetes_token' },
    });
    const asUser = await ask({ headers: [['authorization', `Bearer ${token}`]] });
    expect(asUser).toMatchObject({ user: { refusal: 'token_issuer_unknown' } });
  });

  test('in authorization, JWT-SVIDs are the workload and other tokens the user', async () => {
    const spire = await createTestIssuer({ issuer: 'https://spire', audience: 'cedar-pdp', typ: 'JWT' });
    const idp = await createTestIssuer({ issuer: 'https://idp', audience: 'cedar-pdp' });
    const keys = spire.jwks.keys.map((key) => ({ ...key, use: 'jwt-svid' }));
    const bundle = { trustDomain: 'prod.example.com', x509Authorities: [], jwtAuthorities: keys };
    const ask = await wire(
      { jwt_svid: { header: 'authorization', audiences: ['cedar-pdp'] } },
      [await issuerWith('idp', idp, {})],
      new Map([['prod.example.com', bundle]]),
    );
    const bearer = (token: string): Asked => ({ headers: [['authorization', `Bearer ${token}`]] });
    const workload = await ask(bearer(await spire.sign({ sub: WEB })));
    expect(workload).toMatchObject({ source: { id: WEB }, user: undefined });
    const user = await ask(bearer(await idp.sign({ sub: 'alice' })));
    expect(user).toMatchObject({ user: { id: 'idp/alice' } });
    expect(user).not.toHaveProperty('source');
    const posing = await ask(bearer(await idp.sign({ sub: WEB }, { typ: 'JWT' })));
    expect(posing).toMatchObject({ refusal: 'token_signature_invalid' });
  });

  test('forwarded certificates are read of the PEPs that are named', async () => {
    await using ca = await createTestCa('prod.example.com');
    const { chain } = await ca.issue({ spiffeId: WEB });
    const header: [string, string] = ['client-cert', `:${(chain[0] ?? Buffer.of()).toString('base64')}:`];
    const xfcc: [string, string] = ['x-forwarded-client-cert', `By=${PEP};URI=${WEB}`];
    const from = ['spiffe://prod.example.com/ns/mesh/*'];
    const ask = await wire({ client_cert: { from }, xfcc: { from } }, [], bundlesOf(ca));
    expect(await ask({ headers: [header] })).toMatchObject({ source: { id: WEB, evidence: 'client_cert' } });
    expect(await ask({ headers: [xfcc] })).toMatchObject({ source: { id: WEB, evidence: 'xfcc' } });
    expect(await ask({ headers: [xfcc, header] })).toMatchObject({ source: { id: WEB, evidence: 'xfcc' } });
    const other = 'spiffe://prod.example.com/ns/meshes/sa/pep';
    expect(await ask({ headers: [xfcc, header], pep: other })).not.toHaveProperty('source');
  });

  test('an X.509-SVID without a principal is verified where trust bundles are configured, and nowhere else', async () => {
    await using ca = await createTestCa('prod.example.com');
    const certificate = encodeURIComponent((await ca.issue({ spiffeId: WEB })).cert);
    const question = { source: { certificate } };
    const trusting = await wire({}, [], bundlesOf(ca));
    expect(await trusting(question)).toMatchObject({ source: { id: WEB, evidence: 'certificate' } });
    const empty = await wire({});
    expect(await empty(question)).toMatchObject({
      refusal: 'workload_evidence_invalid',
      cause: 'trust_domain',
    });
    const config = ConfigSchema.parse({ grpc: { plaintext: true }, policies: { sets: ['p'] } });
    const { verifier } = await openTokens(
      [],
      config.tokens,
      { clock: SYSTEM_CLOCK, log: memoryLog() },
      stack,
    );
    expect(await openWorkloads(config, { verifier }).authenticate(asked(question))).toEqual({
      certificate: expect.anything() as object,
      destination: expect.anything() as object,
    });
  });
});
