import { createHash, X509Certificate } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { EnvoyConfig } from '../support/envoy.ts';
import { type Mesh, type MeshAnswer, type MeshRequest, startMesh } from '../support/mesh.ts';
import { findEnvoy } from '../support/parts.ts';
import type { DecisionRecord } from '../support/pdp-process.ts';
import { type Leaf, type TestCa, createTestCa } from '../support/test-ca.ts';
import { type TestIssuer, createTestIssuer } from '../support/tokens.ts';

const INGRESS = 'spiffe://prod.example.com/ns/edge/sa/ingress';
const WEB = 'spiffe://prod.example.com/ns/frontend/sa/web';
const PAYMENT = 'spiffe://prod.example.com/ns/payments/sa/payment-api';
const BACKEND = 'spiffe://prod.example.com/ns/web/sa/backend';
const FULFILMENT = 'spiffe://prod.example.com/ns/fulfilment/sa/fulfilment-api';
const PEP = 'spiffe://prod.example.com/ns/mesh/sa/pep';
const PARTNER = 'spiffe://partner.example.org/ns/shipping/sa/tracker';
const XFCC = 'x-forwarded-client-cert';

const policySet = (name: string): string => fileURLToPath(new URL(`../../policies/${name}`, import.meta.url));

interface Exchange {
  readonly answer: MeshAnswer;
  readonly record: DecisionRecord | undefined;
}

/** Sends requests one after the other, and gives each with the record of its decision. */
function exchanger(mesh: () => Mesh): (request: MeshRequest) => Promise<Exchange> {
  let asked = 0;
  return async (request) => {
    const answer = await mesh().send(request);
    asked += 1;
    return { answer, record: (await mesh().pdp.records(asked))[asked - 1] };
  };
}

/** Makes a change to the HTTP filters' manager of every listener, or of one. */
function eachManager(
  { static_resources }: EnvoyConfig,
  change: (manager: Record<string, unknown>) => void,
  only?: string,
): void {
  for (const { name, filter_chains } of static_resources.listeners) {
    if (only !== undefined && name !== only) continue;
    for (const { typed_config } of filter_chains.flatMap(({ filters }) => filters))
      change(typed_config as unknown as Record<string, unknown>);
  }
}

/** As a sidecar of Istio: what clients send is kept, and what this connection proved is put at its end. */
const appendForward = (manager: Record<string, unknown>): void => {
  manager['forward_client_cert_details'] = 'APPEND_FORWARD';
};

/** As a waypoint that writes the header from what ztunnel told it, before the PDP is asked. */
const overwrite = (manager: Record<string, unknown>): void => {
  manager['forward_client_cert_details'] = 'ALWAYS_FORWARD_ONLY';
  manager['early_header_mutation_extensions'] = [
    {
      name: 'envoy.http.early_header_mutation.header_mutation',
      typed_config: {
        '@type':
          'type.googleapis.com/envoy.extensions.http.early_header_mutation.header_mutation.v3.HeaderMutation',
        mutations: [
          {
            append: {
              header: { key: XFCC, value: `By=${BACKEND};URI=${INGRESS}` },
              append_action: 'OVERWRITE_IF_EXISTS_OR_ADD',
            },
          },
        ],
      },
    },
  ];
};

describe.skipIf(findEnvoy() === undefined)('forged headers, behind a sidecar that appends', () => {
  let mesh: Mesh;
  let ingress: Leaf;
  let token: string;
  const exchange = exchanger(() => mesh);

  beforeAll(async () => {
    mesh = await startMesh({
      identities: { ledgerApi: '/ns/web/sa/backend' },
      config: {
        policies: { sets: [policySet('forged-headers')] },
        workloads: { xfcc: { from: [PEP], trusted_hops: 2, proxies: [INGRESS] } },
      },
      editEnvoy: (config) => eachManager(config, appendForward),
    });
    ingress = await mesh.ca.issue({ spiffeId: INGRESS });
    token = await mesh.token();
  });
  afterAll(() => mesh[Symbol.asyncDispose]());

  const through = (
    as: Leaf | undefined,
    xfcc?: string,
    to: MeshRequest['to'] = 'ledger-api',
  ): MeshRequest => ({
    to,
    path: '/',
    token,
    ...(as && { as }),
    ...(xfcc !== undefined && { headers: [[XFCC, xfcc]] }),
  });

  test('a user through the ingress is let through, and the record says how the ingress was proven', async () => {
    const { answer, record } = await exchange(through(ingress));
    expect(answer.status, JSON.stringify(record)).toBe(200);
    const { raw } = new X509Certificate(ingress.cert);
    expect(record).toMatchObject({
      decision: 'ALLOW',
      mtls: true,
      source_identity: {
        spiffe_id: INGRESS,
        evidence: 'principal',
        certificate_issuer: expect.stringContaining('prod.example.com test CA') as string,
      },
      source_certificate: createHash('sha256').update(raw).digest('base64url'),
      destination_identity: { spiffe_id: BACKEND },
      pep: { spiffe_id: PEP },
    });
    expect(record).not.toHaveProperty('claimed_sources');
  });

  test('who asked the ingress is known by its own element', async () => {
    const { answer, record } = await exchange(through(ingress, `By=${INGRESS};URI=${WEB}`));
    expect(answer.status).toBe(200);
    expect(record).toMatchObject({
      source_identity: { spiffe_id: INGRESS },
      origin_identity: { spiffe_id: WEB, evidence: 'xfcc' },
    });
  });

  test('a name that was there before the ingress is a claim, and claims deny', async () => {
    const doctored = `By=${WEB};URI=${PAYMENT},By=${INGRESS};URI=${WEB}`;
    const { answer, record } = await exchange(through(ingress, doctored));
    expect(answer.status).toBe(403);
    expect(record).toMatchObject({
      reason: 'policy_forbids',
      policies: ['forged.nobody-vouches'],
      origin_identity: { spiffe_id: WEB },
      claimed_sources: [PAYMENT],
    });
  });

  test('a workload that writes the ingress into its header is itself', async () => {
    const { answer, record } = await exchange(through(mesh.workloads.web, `By=${WEB};URI=${INGRESS}`));
    expect(answer.status).toBe(403);
    expect(record).toMatchObject({
      source_identity: { spiffe_id: WEB, evidence: 'principal' },
      claimed_sources: [INGRESS],
    });
    expect(record?.policies).toContain('forged.only-the-ingress');
    expect(record).not.toHaveProperty('origin_identity');
  });

  test('two headers of one workload are no better than one', async () => {
    const headers = [`By=${WEB};URI=${INGRESS}`, `By=${BACKEND};URI=${INGRESS}`].map(
      (value) => [XFCC, value] as const,
    );
    const { answer, record } = await exchange({ ...through(mesh.workloads.web), headers });
    expect(answer.status).toBe(403);
    expect(record?.source_identity?.spiffe_id ?? WEB).toBe(WEB);
    expect(record).not.toHaveProperty('origin_identity');
  });

  test.each([
    ['an element that another proxy wrote', `By=${WEB};URI=${PAYMENT}`],
    ['an element that is not of the grammar', 'By'],
    ['a quote left open, to swallow the element of the sidecar', 'Subject="CN=x'],
  ])('%s is refused', async (_what, xfcc) => {
    const { answer, record } = await exchange(through(ingress, xfcc));
    expect(answer.status).toBe(403);
    expect(record).toMatchObject({
      reason: 'workload_evidence_invalid',
      detail: expect.stringContaining(XFCC) as string,
    });
  });

  test('an ingress that strips the certificate is nobody, whatever it writes', async () => {
    const { answer, record } = await exchange(through(undefined, `By=${BACKEND};URI=${INGRESS}`, 'edge'));
    expect(answer.status).toBe(403);
    expect(record).toMatchObject({ mtls: false, policies: ['forged.only-the-ingress'] });
    expect(record).not.toHaveProperty('source_identity');
  });
});

describe.skipIf(findEnvoy() === undefined)('an ambient waypoint, where there is no principal', () => {
  test('proves the source by the header that it has overwritten', async () => {
    await using mesh = await startMesh({
      identities: { ledgerApi: '/ns/web/sa/backend' },
      config: {
        policies: { sets: [policySet('forged-headers')] },
        workloads: { xfcc: { from: [PEP] } },
      },
      editEnvoy: (config) => eachManager(config, overwrite, 'edge'),
    });
    const answer = await mesh.send({
      to: 'edge',
      path: '/',
      token: await mesh.token(),
      headers: [[XFCC, `By=${BACKEND};URI=${WEB}`]],
    });
    const [record] = await mesh.pdp.records(1);
    expect(answer.status, JSON.stringify(record)).toBe(200);
    expect(record).toMatchObject({ mtls: true, source_identity: { spiffe_id: INGRESS, evidence: 'xfcc' } });
  });
});

describe.skipIf(findEnvoy() === undefined)('federation with a partner', () => {
  let folder: string;
  let partner: TestCa;
  let spire: TestIssuer;
  let mesh: Mesh;
  const exchange = exchanger(() => mesh);

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'pdp-federation-'));
    partner = await createTestCa('partner.example.org');
    spire = await createTestIssuer({
      issuer: 'https://spire.example.org',
      audience: 'cedar-pdp',
      typ: 'JWT',
    });
    const file = join(folder, 'bundle.json');
    const x5c = [partner.der.toString('base64')];
    const { publicKey } = new X509Certificate(partner.bundle);
    const keys = [
      { ...publicKey.export({ format: 'jwk' }), use: 'x509-svid', x5c },
      ...spire.jwks.keys.map(({ alg: _alg, ...key }) => ({ ...key, use: 'jwt-svid' })),
    ];
    await writeFile(file, JSON.stringify({ keys, spiffe_sequence: 1, spiffe_refresh_hint: 300 }));
    mesh = await startMesh({
      identities: { ledgerApi: '/ns/fulfilment/sa/fulfilment-api' },
      bundles: [{ trust_domain: 'partner.example.org', file }],
      config: {
        policies: { sets: [policySet('federation')] },
        workloads: { verify_source_certificates: 'chain', jwt_svid: { audiences: ['cedar-pdp'] } },
      },
      editEnvoy({ static_resources }) {
        const sockets = static_resources.listeners.flatMap(({ filter_chains }) => filter_chains);
        for (const { transport_socket } of sockets) {
          const validation = transport_socket.typed_config.common_tls_context.validation_context;
          const trusted = validation.custom_validator_config?.typed_config.trust_domains as
            { name: string; trust_bundle: { filename: string } }[] | undefined;
          trusted?.push({ name: 'partner.example.org', trust_bundle: { filename: partner.bundleFile } });
        }
      },
    });
  });
  afterAll(async () => {
    await mesh[Symbol.asyncDispose]();
    await partner[Symbol.asyncDispose]();
    await rm(folder, { recursive: true, force: true, maxRetries: 20 });
  });

  const get = (as: Leaf | undefined, path: string, svid?: string): MeshRequest => ({
    to: as ? 'ledger-api' : 'edge',
    path,
    ...(as && { as }),
    ...(svid !== undefined && { headers: [['x-jwt-svid', svid]] }),
  });

  test('gives the partner what a policy names, and no more', async () => {
    const tracker = await partner.issue({ spiffeId: PARTNER });
    const status = await exchange(get(tracker, '/orders/9/status'));
    expect(status.answer.status, JSON.stringify(status.record)).toBe(200);
    expect(status.record).toMatchObject({
      source_identity: {
        spiffe_id: PARTNER,
        trust_domain: 'partner.example.org',
        certificate_issuer: expect.stringContaining('partner.example.org test CA') as string,
      },
      destination_identity: { spiffe_id: FULFILMENT },
    });
    const order = await exchange(get(tracker, '/orders/9'));
    expect(order.answer.status).toBe(403);
    expect(order.record).toMatchObject({ policies: ['federation.partner-only-by-name'] });
  });

  test('takes the same name in our own trust domain for ours', async () => {
    const ours = await mesh.ca.issue({ spiffeId: 'spiffe://prod.example.com/ns/shipping/sa/tracker' });
    const { answer, record } = await exchange(get(ours, '/orders/9'));
    expect(answer.status, JSON.stringify(record)).toBe(200);
  });

  test('does not let one CA speak for the other trust domain: Envoy ends the connection', async () => {
    const forged = await partner.issue({ spiffeId: 'spiffe://prod.example.com/ns/shipping/sa/tracker' });
    await expect(mesh.send(get(forged, '/orders/9'))).rejects.toThrow();
  });

  test('takes a JWT-SVID of the partner for the partner, and not for mutual TLS', async () => {
    const svid = await spire.sign({ sub: PARTNER });
    const { answer, record } = await exchange(get(undefined, '/orders/9/status', svid));
    expect(answer.status).toBe(403);
    expect(record).toMatchObject({
      mtls: false,
      source_identity: { spiffe_id: PARTNER, evidence: 'jwt_svid' },
      policies: ['federation.partner-by-mutual-tls'],
    });
  });

  test('sees the partner behind a workload of ours that passes its token on', async () => {
    const ours = await mesh.ca.issue({ spiffeId: 'spiffe://prod.example.com/ns/shipping/sa/tracker' });
    const { answer, record } = await exchange(get(ours, '/orders/9', await spire.sign({ sub: PARTNER })));
    expect(answer.status).toBe(403);
    expect(record).toMatchObject({
      mtls: true,
      source_identity: { spiffe_id: 'spiffe://prod.example.com/ns/shipping/sa/tracker' },
      origin_identity: { spiffe_id: PARTNER, evidence: 'jwt_svid' },
      policies: ['federation.partner-not-through-others'],
    });
  });

  test("refuses a JWT-SVID that the partner's key signed for our trust domain", async () => {
    const svid = await spire.sign({ sub: 'spiffe://prod.example.com/ns/shipping/sa/tracker' });
    const { answer, record } = await exchange(get(undefined, '/orders/9', svid));
    expect(answer.status).toBe(401);
    expect(record).toMatchObject({
      reason: 'token_key_unknown',
      detail: expect.stringContaining("'prod.example.com' has no keys") as string,
      evidence: expect.stringMatching(/^sha256:[\w-]{43}$/) as string,
    });
    expect(JSON.stringify(record)).not.toContain(svid.split('.')[2]);
  });
});
