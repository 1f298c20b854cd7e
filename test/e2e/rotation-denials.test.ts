import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { EnvoyConfig } from '../support/envoy.ts';
import { eventually } from '../support/eventually.ts';
import { type Mesh, type MeshRequest, startMesh } from '../support/mesh.ts';
import { findEnvoy } from '../support/parts.ts';
import type { DecisionRecord } from '../support/pdp-process.ts';
import { type Leaf, type TestCa, createTestCa } from '../support/test-ca.ts';
import { type TestIssuer, createTestIssuer } from '../support/tokens.ts';

const POLICIES = fileURLToPath(new URL('../../policies/rotation', import.meta.url));
const BILLER = 'spiffe://prod.example.com/ns/billing/sa/biller';
const INVOICES = '/ns/billing/sa/invoices';

const asBiller = (as: Leaf): MeshRequest => ({ to: 'ledger-api', as, method: 'POST', path: '/invoices' });

describe.skipIf(findEnvoy() === undefined)('what went wrong is said in words', () => {
  let mesh: Mesh;
  let issuer: TestIssuer;
  let known: TestCa;
  let unknown: TestCa;
  let asked = 0;
  let folder: string;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'pdp-rotation-'));
    known = await createTestCa('staging.example.com');
    unknown = await createTestCa('elsewhere.example.net');
    issuer = await createTestIssuer({ issuer: 'https://idp.example.com', audience: 'invoices' });
    const jwks = join(folder, 'jwks.json');
    await writeFile(jwks, JSON.stringify(issuer.jwks));
    const { audience, algorithm, issuer: name } = issuer;
    const config = {
      policies: { sets: [POLICIES] },
      workloads: { verify_source_certificates: 'chain' },
      issuers: [
        {
          name: 'idp',
          issuer: name,
          audiences: [audience],
          algorithms: [algorithm],
          types: ['at+jwt'],
          jwks: { file: jwks },
        },
      ],
    };
    mesh = await startMesh({
      identities: { ledgerApi: INVOICES },
      bundles: [{ trust_domain: known.trustDomain, file: known.bundleFile }],
      config,
      editEnvoy: (envoy) => trust(envoy, [known, unknown]),
    });
  });
  afterAll(async () => {
    await mesh[Symbol.asyncDispose]();
    await Promise.all([known[Symbol.asyncDispose](), unknown[Symbol.asyncDispose]()]);
    await rm(folder, { recursive: true, force: true, maxRetries: 20 });
  });

  /** Envoy lets workloads of these trust domains connect, beside those of the mesh. */
  function trust({ static_resources }: EnvoyConfig, cas: readonly TestCa[]): void {
    for (const { transport_socket } of static_resources.listeners.flatMap((one) => one.filter_chains)) {
      const validation = transport_socket.typed_config.common_tls_context.validation_context;
      const domains = validation.custom_validator_config?.typed_config.trust_domains as
        { name: string; trust_bundle: { filename: string } }[] | undefined;
      for (const { trustDomain, bundleFile } of cas)
        domains?.push({ name: trustDomain, trust_bundle: { filename: bundleFile } });
    }
  }

  const exchange = async (
    request: MeshRequest,
  ): Promise<{ status: number; body: string; record: DecisionRecord }> => {
    const { status, body } = await mesh.send(request);
    const record = (await mesh.pdp.records((asked += 1)))[asked - 1];
    if (!record) throw new Error('no record');
    return { status, body, record };
  };

  test('an SVID that expires while its connection stays open is no identity any more: expiry', async () => {
    const leaf = await mesh.ca.issue({ spiffeId: BILLER, lifetimeMs: 4000 });
    expect((await exchange(asBiller(leaf))).status).toBe(200);
    const denied = await eventually('the SVID has expired', async () => {
      const answer = await exchange(asBiller(leaf));
      return answer.status === 200 ? undefined : answer;
    });
    expect(denied.status).toBe(403);
    expect(denied.record).toMatchObject({
      reason: 'workload_evidence_invalid',
      detail: expect.stringMatching(
        /^the certificate of the source: the certificate of spiffe:\/\/prod\.example\.com\/ns\/billing\/sa\/biller expired \d seconds? ago, at .*; our clock says .*: rotation failed, or a clock is wrong$/,
      ) as string,
      evidence: expect.stringMatching(/^sha256:/) as string,
    });
    // A new connection does not even get as far as the PDP, and a new SVID is all that is needed.
    const again = await mesh.ca.issue({ spiffeId: BILLER, lifetimeMs: -1000 });
    await expect(mesh.send(asBiller(again))).rejects.toThrow();
    expect((await exchange(asBiller(await mesh.ca.issue({ spiffeId: BILLER })))).status).toBe(200);
  });

  test('a workload of a trust domain that authenticates and is not accepted: trust domain', async () => {
    const leaf = await known.issue({ spiffeId: 'spiffe://staging.example.com/ns/billing/sa/biller' });
    const { status, body, record } = await exchange(asBiller(leaf));
    expect(status).toBe(403);
    expect(body).toContain('the workload is of a trust domain that is not accepted here');
    expect(record).toMatchObject({ reason: 'policy_forbids', policies: ['rotation.trust-domain-known'] });
  });

  test('a workload of a trust domain that Envoy trusts and the PDP does not: trust domain', async () => {
    const leaf = await unknown.issue({ spiffeId: 'spiffe://elsewhere.example.net/ns/billing/sa/biller' });
    const { status, record } = await exchange(asBiller(leaf));
    expect(status).toBe(403);
    expect(record).toMatchObject({
      reason: 'workload_evidence_invalid',
      detail: expect.stringMatching(
        /no bundle is held for the trust domain 'elsewhere\.example\.net'/,
      ) as string,
    });
  });

  const now = (): number => Math.floor(Date.now() / 1000);
  test.each<[string, () => object, string, RegExp]>([
    [
      'has expired: expiry',
      () => ({ iat: now() - 400, exp: now() - 100 }),
      'token_expired',
      /^expired 10\d s ago$/,
    ],
    [
      'is for later: clock',
      () => ({ nbf: now() + 600, exp: now() + 900 }),
      'token_not_yet_valid',
      /^valid only in \d+ s: the clocks differ by more than 30 s, or it is for later$/,
    ],
    [
      'was issued in the future: clock',
      () => ({ iat: now() + 600, exp: now() + 900 }),
      'token_not_yet_valid',
      /^issued \d+ s in the future: the clocks differ by more than 30 s$/,
    ],
  ])('a token that %s', async (_what, claims, reason, detail) => {
    const leaf = mesh.workloads.paymentApi;
    const token = await issuer.sign({ ...claims() });
    const { status, record } = await exchange({ ...asBiller(leaf), token });
    expect(status).toBe(401);
    expect(record.reason).toBe(reason);
    expect(record.detail).toMatch(detail);
  });

  test('a token of a clock that is right, with an SVID that is good, is let through', async () => {
    const leaf = await mesh.ca.issue({ spiffeId: BILLER });
    const { status, record } = await exchange({ ...asBiller(leaf), token: await issuer.sign() });
    expect([status, record.reason]).toEqual([200, 'permitted']);
  });
});
