import { describe, expect, test } from 'vitest';
import { type RequestOptions, LEDGER_API, PAYMENT_API, accessRequest } from '../../../support/requests.ts';
import { type Setup, setUp, sourceOf, userIdentity } from '../decision-point.ts';

/** Reads everything that the sample schema has, so that nothing is projected away. */
const READS_ALL = `
  @id("reads") permit(principal, action, resource) when {
    context.mtls || context has source || context has user || context has device ||
    (context has token && (context.token has amr && context.token.amr.contains("x") || context.token has expires_at && context.token.expires_at > 0 || context.token has scope && context.token.scope.contains("x"))) ||
    (context has http && context.http.path == "x") || (context has ip && context.ip.isInRange(ip("10.0.0.0/8"))) ||
    (context has sni && context.sni == "x") || (context has now && context.now > datetime("2020-01-01")) ||
    principal in ZeroTrust::TrustDomain::"prod.example.com" || principal in ZeroTrust::Namespace::"x" ||
    principal in ZeroTrust::Group::"x" || principal in ZeroTrust::WorkloadGroup::"x" || resource in ZeroTrust::Service::"x" ||
    (context has device && (context.device in ZeroTrust::DeviceGroup::"x" || context.device has managed && context.device.managed)) ||
    (principal is ZeroTrust::Workload && principal has namespace && principal.namespace == principal.service_account)
  };`.replace(
  'principal.namespace == principal.service_account',
  'principal has service_account && principal.namespace == principal.service_account',
);

async function bound(options: RequestOptions = {}, setup: Setup = {}) {
  const trace = await setUp({ policies: READS_ALL, ...setup }).decide(accessRequest(options));
  if (!trace.cedar) throw new Error(`not bound: ${JSON.stringify(trace.decision)}`);
  return trace.cedar;
}
const uid = (type: string, id: string) => ({ type: `ZeroTrust::${type}`, id });
const user = userIdentity('alice', {
  groups: ['staff'],
  claims: { amr: ['mfa'], nobody_declared_this: 'x' },
});

describe('the principal', () => {
  test('is the user where there is one, and the workload stays in the context', async () => {
    const cedar = await bound({}, { user });
    expect(cedar.principal).toEqual(uid('User', 'demo/alice'));
    expect(cedar.context).toMatchObject({
      source: { __entity: uid('Workload', PAYMENT_API) },
      user: { __entity: uid('User', 'demo/alice') },
      mtls: true,
    });
  });

  test('is the workload where there is no user', async () => {
    expect((await bound()).principal).toEqual(uid('Workload', PAYMENT_API));
  });

  test.each(['', 'payment-api.example.com', 'CN=payment-api'])(
    'is Anonymous where the PEP authenticated %j',
    async (source) => {
      const cedar = await bound({ source });
      expect(cedar.principal).toEqual(uid('Anonymous', 'anonymous'));
      expect(cedar.context).toMatchObject({ mtls: false });
      expect(cedar.context).not.toHaveProperty('source');
    },
  );

  test('is never taken from a header', async () => {
    const headers = ['x-forwarded-client-cert', 'x-auth-user', 'x-user', 'x-device-id', 'x-spiffe-id'].map(
      (name) => [name, `By=spiffe://x/y;URI=${PAYMENT_API}`] as const,
    );
    const cedar = await bound({ source: '', headers });
    expect(cedar.principal).toEqual(uid('Anonymous', 'anonymous'));
    expect(JSON.stringify(cedar)).not.toContain(PAYMENT_API);
  });
});

describe('the parties', () => {
  test('a workload is in its trust domain, and in its namespace under the name of the trust domain', async () => {
    const workload = (await bound()).entities.find((entity) => entity.uid.type === 'ZeroTrust::Workload');
    expect(workload).toEqual({
      uid: uid('Workload', PAYMENT_API),
      attrs: { trust_domain: 'prod.example.com', namespace: 'payments', service_account: 'payment-api' },
      parents: [uid('TrustDomain', 'prod.example.com'), uid('Namespace', 'prod.example.com/payments')],
    });
  });

  test('groups of a token carry the name of its issuer; groups of a source do not', async () => {
    const sources = [sourceOf('user', {}, { groups: ['Finance'] })];
    const found = (await bound({}, { user, sources })).entities.find(
      (entity) => entity.uid.type === 'ZeroTrust::User',
    );
    expect(found?.parents).toEqual([uid('Group', 'Finance'), uid('Group', 'demo/staff')]);
  });

  test("a source cannot overwrite what the token or the peer's name says", async () => {
    const sources = [
      sourceOf('user', { issuer: 'evil', subject: 'bob' }),
      sourceOf('workload', { trust_domain: 'evil', namespace: 'evil' }),
    ];
    const { entities } = await bound({}, { user, sources });
    expect(JSON.stringify(entities)).not.toContain('evil');
  });

  test.each([
    ['the signed posture, where it is newer', 1000, false],
    ['the source, where it is newer', -1000, true],
  ])('of two words about a device the newer one counts: %s', async (_what, newerMs, managed) => {
    const observedAt = Date.UTC(2026, 0, 1) + newerMs;
    const device = {
      id: 'laptop-1',
      evidence: 'assertion',
      posture: { managed: false },
      observedAt,
    } as const;
    const { entities, context } = await bound(
      {},
      { user, device, sources: [sourceOf('device', { managed: true })] },
    );
    expect(context).toMatchObject({ device: { __entity: uid('Device', 'laptop-1') } });
    expect(entities.find((entity) => entity.uid.type === 'ZeroTrust::Device')?.attrs).toEqual({ managed });
  });

  test('claims that the schema does not declare stay out', async () => {
    expect((await bound({}, { user })).context['token']).toEqual({
      issuer: 'demo',
      audience: ['pdp'],
      expires_at: user.token.expiresAt,
      amr: ['mfa'],
    });
  });
});

describe('the resource', () => {
  test('is the canonical path at the destination that the PEP authenticated', async () => {
    const cedar = await bound({ path: '/a%7e?secret=1' });
    expect(cedar.resource).toEqual(uid('Endpoint', `${LEDGER_API} /a~`));
    expect(cedar.entities.find((entity) => entity.uid.type === 'ZeroTrust::Endpoint')).toEqual({
      uid: cedar.resource,
      attrs: { path: '/a~', host: 'ledger-api.ledger' },
      parents: [uid('Service', LEDGER_API)],
    });
    expect(JSON.stringify(cedar)).not.toContain('secret');
  });

  test('is at the host where there is no such destination', async () => {
    expect((await bound({ destination: '', host: 'Ledger.Example:443' })).resource.id).toBe(
      'ledger.example /internal/entries',
    );
  });

  test('cannot be made equal to another pair of service and path', async () => {
    expect((await setUp().decide(accessRequest({ destination: '', host: 'a b' }))).decision.reason).toBe(
      'host_ambiguous',
    );
    expect((await setUp().decide(accessRequest({ path: '/a /b' }))).decision.reason).toBe('path_ambiguous');
  });
});

describe('the context', () => {
  test.each([
    ['10.1.2.3', '10.1.2.3'],
    ['::ffff:10.1.2.3', '10.1.2.3'],
    ['::ffff:0a01:0203', '10.1.2.3'],
    ['fe80::1%eth0', 'fe80::1'],
    ['/run/envoy.sock', undefined],
    ['', undefined],
  ])('reads the address %s as %s', async (ip, read) => {
    expect((await bound({ ip })).context['ip']).toBe(read);
  });

  test('has the time of arrival, the server name and the canonical request', async () => {
    const { context } = await bound({ sni: 'ledger.example', host: 'A.example:443' });
    expect(context).toMatchObject({ now: '2026-01-01T00:00:00.000Z', sni: 'ledger.example' });
    expect(context['http']).toEqual({
      method: 'POST',
      path: '/internal/entries',
      host: 'a.example',
      scheme: 'https',
    });
  });

  test('never holds headers', async () => {
    const headers = [
      ['cookie', 'CANARY'],
      ['x-any', 'CANARY'],
    ] as const;
    expect(JSON.stringify(await bound({ headers }))).not.toContain('CANARY');
  });
});

describe('the answer is good until', () => {
  const until = async (setup: Setup) =>
    (await setUp({ policies: READS_ALL, ...setup }).decide()).inputsValidUntil;
  const start = Date.UTC(2026, 0, 1);
  const NOT_NOW = READS_ALL.replace('(context has now && context.now > datetime("2020-01-01")) ||', '');

  test('the first of its inputs goes stale', async () => {
    const sources = [sourceOf('user', {}, { groups: ['x'], freshUntil: start + 9000 })];
    const device = { id: 'd', evidence: 'assertion', freshUntil: start + 8000 } as const;
    expect(await until({ policies: NOT_NOW })).toBe(start + 60_000);
    expect(
      await until({ policies: NOT_NOW, user: userIdentity('alice', { expiresAt: start / 1000 + 10 }) }),
    ).toBe(start + 10_000);
    expect(await until({ policies: NOT_NOW, user, sources })).toBe(start + 9000);
    expect(await until({ policies: NOT_NOW, user, sources, device })).toBe(start + 8000);
  });
});
