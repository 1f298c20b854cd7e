import { createRemoteJWKSet, jwtVerify } from 'jose';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { freePort } from '../support/free-port.ts';
import { type Mesh, type MeshRequest, startMesh } from '../support/mesh.ts';
import { findEnvoy } from '../support/parts.ts';
import { headerValues } from '../support/upstream.ts';

const ISSUER = 'https://pdp.example.com';
const HEADER = 'x-pdp-identity';
const REPORTS_API = 'spiffe://prod.example.com/ns/finance/sa/reports-api';

let mesh: Mesh;
let keys: ReturnType<typeof createRemoteJWKSet>;

describe.skipIf(findEnvoy() === undefined)('identity onward, through Envoy', () => {
  beforeAll(async () => {
    const address = `127.0.0.1:${await freePort()}`;
    mesh = await startMesh({
      config: {
        http: { address, plaintext: true },
        onward_identity: { issuer: ISSUER, user_claims: ['amr'] },
      },
    });
    keys = createRemoteJWKSet(new URL(`http://${address}/.well-known/jwks.json`));
  });
  afterAll(() => mesh[Symbol.asyncDispose]());

  /** What the service saw of a request that was let through. */
  async function seen(request: MeshRequest) {
    const before = mesh.upstream.seen.length;
    expect((await mesh.send(request)).status).toBe(200);
    const arrived = mesh.upstream.seen[before];
    return { tokens: headerValues(arrived, HEADER), names: (arrived?.headers ?? []).map(([name]) => name) };
  }

  const verify = (token: string | undefined, audience: string) =>
    jwtVerify(token ?? '', keys, {
      issuer: ISSUER,
      audience,
      typ: 'pdp-identity+jwt',
      algorithms: ['EdDSA'],
    });

  test('the service gets a token for itself about user, workload and device', async () => {
    const { tokens } = await seen({
      to: 'reports-api',
      as: mesh.workloads.dashboardApp,
      path: '/api/reports/quarterly',
      token: await mesh.token(),
    });
    expect(tokens).toHaveLength(1);
    const { payload } = await verify(tokens[0], REPORTS_API);
    expect(payload).toMatchObject({
      sub: 'demo/alice',
      user: { id: 'demo/alice', claims: { amr: ['pwd', 'mfa'] } },
      workload: mesh.workloads.dashboardApp.spiffeId,
      device: { id: 'demo/laptop-1' },
    });
    const [record] = (await mesh.pdp.records(1)).filter(({ decision_id: id }) => id === payload.jti);
    expect(record).toMatchObject({ decision: 'ALLOW', user: 'demo/alice' });
    await expect(verify(tokens[0], mesh.workloads.ledgerApi.spiffeId)).rejects.toThrow('"aud"');
  });

  test("none of the client's copies arrives", async () => {
    const { tokens, names } = await seen({
      to: 'ledger-api',
      as: mesh.workloads.paymentApi,
      method: 'POST',
      path: '/internal/entries',
      headers: [
        [HEADER, 'forged'],
        [HEADER, 'forged again'],
        ['X-PDP-Identity', 'forged'],
      ],
    });
    expect(tokens).toHaveLength(1);
    expect((await verify(tokens[0], mesh.workloads.ledgerApi.spiffeId)).payload.sub).toBe(
      mesh.workloads.paymentApi.spiffeId,
    );
    expect(names.filter((name) => name.replaceAll('_', '-') === HEADER)).toEqual([HEADER]);
  });

  test('a copy with underscores is refused by Envoy, and taken out by us where Envoy lets such pass', async () => {
    const post = { to: 'ledger-api', method: 'POST', path: '/internal/entries' } as const;
    const spelled = (name: string) => ({ ...post, headers: [[name, 'forged']] as const });
    const strict = await mesh.send({ ...spelled('x_pdp_identity'), as: mesh.workloads.paymentApi });
    expect(strict.status).toBe(400);
    await using lenient = await startMesh({
      config: { onward_identity: { issuer: ISSUER, header: 'x-caller-identity' } },
      editEnvoy: ({ static_resources }) => {
        for (const { filters } of static_resources.listeners.flatMap(({ filter_chains }) => filter_chains)) {
          const allow = { headers_with_underscores_action: 'ALLOW' };
          for (const { typed_config } of filters)
            Object.assign(typed_config, { common_http_protocol_options: allow });
        }
      },
    });
    for (const name of ['x_caller_identity', 'x-caller_identity', 'X_Caller-Identity']) {
      const answer = await lenient.send({ ...spelled(name), as: lenient.workloads.paymentApi });
      expect({ name, status: answer.status }).toEqual({ name, status: 200 });
      const names = (lenient.upstream.seen.at(-1)?.headers ?? []).map(([seenName]) => seenName);
      expect(names.filter((one) => one.replaceAll('_', '-') === 'x-caller-identity')).toEqual([
        'x-caller-identity',
      ]);
    }
  });

  test('a token of one request does not become the identity of another', async () => {
    const alices = await seen({
      to: 'reports-api',
      as: mesh.workloads.dashboardApp,
      path: '/api/reports/quarterly',
      token: await mesh.token(),
    });
    const { tokens } = await seen({
      to: 'ledger-api',
      as: mesh.workloads.paymentApi,
      method: 'POST',
      path: '/internal/entries',
      headers: [[HEADER, alices.tokens[0] ?? '']],
    });
    expect((await verify(tokens[0], mesh.workloads.ledgerApi.spiffeId)).payload).not.toHaveProperty('user');
  });

  test('whoever is denied gets no token back', async () => {
    const answer = await mesh.send({
      to: 'ledger-api',
      as: mesh.workloads.web,
      path: '/internal/entries',
      headers: [[HEADER, 'forged']],
    });
    expect(answer.status).toBe(403);
    expect(answer.headers).not.toHaveProperty(HEADER);
  });
});
