import { afterAll, beforeAll, expect, test } from 'vitest';
import {
  type Bench,
  NOT_PERMITTED,
  PAYMENT_API,
  type Question,
  expectAllowed,
  expectDenied,
  startBench,
} from './fixture.ts';
import { flawClass } from './flaw-class.ts';

let bench: Bench;
let alice: string;
let posture: string;
beforeAll(async () => {
  bench = await startBench();
  alice = await bench.issuer.sign();
  const now = Math.floor(Date.now() / 1000);
  posture = await bench.issuer.sign({
    iss: 'https://mdm.example.com',
    sub: 'laptop-1',
    posture: { compliant: true, observed_at: now },
  });
});
afterAll(() => bench[Symbol.asyncDispose]());

async function denied(asked: Question, ...reasons: readonly string[]): Promise<void> {
  expectDenied(await bench.ask(asked), ...reasons);
}

flawClass(7, 'gRPC', () => {
  test.each(['OPEN.example', 'open.example.', 'Open.Example:443', 'open.example.:443', 'open.example:0443'])(
    'reads %s as open.example, so that its rules hold',
    async (host) => {
      const forbidden = await bench.ask({ host, path: '/admin' });
      expectDenied(forbidden, 'policy_forbids');
      const plain = await bench.ask({ host, path: '/anything' });
      expectAllowed(plain);
      expect(plain.record).toMatchObject({ host: 'open.example' });
    },
  );
  test.each([
    '',
    'user@open.example',
    'open.example@evil.example',
    'open.example..',
    '.open.example',
    'open.example/admin',
    'open.example?x',
    'open.example#x',
    'open.example:',
    'open.example:0',
    'open.example:443:443',
    'open.example:99999',
    'open.example,app.example',
    'open.example app.example',
    'open%2eexample',
    '[::1',
    '::1',
    'https://open.example',
  ])('denies the host %j', async (host) => {
    await denied({ host, path: '/anything' }, 'host_ambiguous');
  });
  test('another port is another service', async () => {
    await denied({ host: 'open.example:8443', path: '/anything' }, ...NOT_PERMITTED);
    await denied({ host: 'open.example:443', path: '/anything', scheme: 'http' }, ...NOT_PERMITTED);
  });
  test('denies a host that :authority or host contradict', async () => {
    const raw = [[':authority', 'open.example']] as const;
    expectAllowed(await bench.ask({ host: 'open.example', path: '/anything', raw }));
    for (const name of [':authority', 'host'])
      await denied({ host: 'open.example', raw: [[name, 'app.example']] }, 'host_ambiguous');
  });
});

flawClass(9, 'gRPC', () => {
  const bearer = (token: string): readonly [string, string] => ['authorization', `Bearer ${token}`];
  const people: Question = { path: '/people' };

  test('takes one credential, in either form', async () => {
    expectAllowed(await bench.ask({ ...people, raw: [bearer(alice)] }));
    expectAllowed(await bench.ask({ ...people, joined: { authorization: `Bearer ${alice}` } }));
    expectAllowed(await bench.ask({ ...people, raw: [bearer(alice)], joined: { 'x-other': 'a,b' } }));
  });
  test('denies two credentials, equal or not, whichever of them is good', async () => {
    for (const [first, second] of [
      [alice, 'other'],
      ['other', alice],
      [alice, alice],
    ] as const) {
      const raw = [bearer(first), bearer(second)];
      await denied({ ...people, raw }, 'credentials_conflict');
      const authorization = `Bearer ${first},Bearer ${second}`;
      await denied({ ...people, joined: { authorization } }, 'credentials_conflict');
      await denied(
        { ...people, joined: { authorization: `Bearer ${first}, ${second}` } },
        'credentials_conflict',
      );
      const both = { raw: [bearer(first)], joined: { authorization: `Bearer ${second}` } };
      await denied({ ...people, ...both }, 'credentials_conflict');
    }
  });
  test('denies two credentials whose names differ in case', async () => {
    await denied(
      { ...people, raw: [bearer(alice), ['Authorization', 'Basic eDp5']] },
      'credentials_conflict',
    );
  });
  test('denies a field whose two values in the message differ', async () => {
    const header = { key: 'authorization', value: 'Bearer other', rawValue: Buffer.from(`Bearer ${alice}`) };
    await denied({ ...people, http: { headerMap: { headers: [header] } } }, 'credentials_conflict');
  });
  test('denies two device assertions, whichever of them is good', async () => {
    const one = { path: '/device', raw: [['x-device-assertion', posture]] } as const;
    expectAllowed(await bench.ask(one));
    const raw = [...one.raw, ['x-device-assertion', 'other']] as const;
    await denied({ path: '/device', raw }, 'device_assertion_invalid');
    await denied(
      { path: '/device', joined: { 'x-device-assertion': `${posture},x` } },
      'device_assertion_invalid',
    );
  });
  test('a route that a header chooses is not chosen by one of two values', async () => {
    const asked = (...raw: [string, string][]): Question => ({
      path: '/tenants/1',
      raw,
    });
    expectAllowed(await bench.ask(asked(['x-tier', 'gold'])));
    expectDenied(await bench.ask(asked(['x-tier', 'gold'], ['x-tier', 'basic'])), 'header_ambiguous');
    expectDenied(await bench.ask(asked(['x-tier', 'basic'])), ...NOT_PERMITTED);
    expectDenied(
      await bench.ask({ path: '/tenants/1', joined: { 'x-tier': 'basic,gold' } }),
      'header_ambiguous',
    );
    expectDenied(await bench.ask(asked(['x_tier', 'gold'])), 'header_ambiguous');
  });
  test('does not split what other fields hold', async () => {
    expectAllowed(
      await bench.ask({
        raw: [
          ['x-a', '1'],
          ['x-a', '2'],
        ],
        joined: { 'x-b': '1,2' },
      }),
    );
  });
});

flawClass(10, 'gRPC', () => {
  test.each([
    'x_device_assertion',
    'x-device_assertion',
    'x_pdp_decision_id',
    'x_forwarded_for',
    'x-forwarded_client-cert',
    'x_envoy_original_path',
    'x_original_url',
    'transfer_encoding',
    'content_length',
    'client_cert',
  ])('denies %s', async (name) => {
    await denied({ path: '/device', raw: [[name, 'x']] }, 'header_ambiguous');
    await denied({ path: '/device', joined: { [name]: 'x' } }, 'header_ambiguous');
  });
  test('denies a name in two spellings that a backend may fold into one', async () => {
    await denied(
      {
        raw: [
          ['x-tenant-id', 'a'],
          ['x_tenant_id', 'b'],
        ],
      },
      'header_ambiguous',
    );
    await denied(
      {
        raw: [
          ['x_tenant-id', 'a'],
          ['x-tenant_id', 'b'],
        ],
      },
      'header_ambiguous',
    );
  });
  test.each(['x a', 'x:a', 'x,a', 'x/a', '', '(x)', 'caf\u00e9'])('denies %j as a name', async (name) => {
    await denied({ raw: [[name, 'x']] }, 'header_ambiguous');
  });
  test('allows names that nobody can take for others', async () => {
    expectAllowed(
      await bench.ask({
        raw: [
          ['x_tenant_id', 'a'],
          ['X-Other', 'b'],
        ],
      }),
    );
  });
});

flawClass(11, 'gRPC', () => {
  const forwarded = (path: string): NonNullable<Question['raw']> => [
    ['x-original-url', path],
    ['x-original-uri', path],
    ['x-rewrite-url', path],
    ['x-envoy-original-path', path],
    ['x-envoy-original-url', path],
    ['x-forwarded-uri', path],
    ['x-forwarded-prefix', '/public'],
    ['x-forwarded-path', path],
    ['x-forwarded-host', 'open.example'],
    ['x-forwarded-proto', 'http'],
    ['x-forwarded-port', '80'],
    ['x-forwarded-method', 'HEAD'],
    ['x-http-method-override', 'HEAD'],
    ['x-method-override', 'HEAD'],
    ['forwarded', 'for=10.0.0.1;host=open.example;proto=http'],
    ['x-forwarded-for', '10.0.0.1'],
    ['x-real-ip', '10.0.0.1'],
    ['true-client-ip', '10.0.0.1'],
    ['cf-connecting-ip', '10.0.0.1'],
    ['x-envoy-external-address', '10.0.0.1'],
    ['x-user', 'alice'],
    ['x-auth-user', 'alice'],
    ['x-forwarded-user', 'alice'],
    ['x-device-id', 'laptop-1'],
    ['x-envoy-downstream-service-cluster', 'payment-api'],
  ];

  test('none of them moves a request to another path, host, method or address', async () => {
    for (const path of ['/people', '/admin', '/office', '/entries', '/device'])
      await denied({ path, raw: forwarded('/public/page') }, ...NOT_PERMITTED);
    await denied({ path: '/admin', host: 'open.example', raw: forwarded('/public/page') }, 'policy_forbids');
  });
  test('none of them takes a permitted request away', async () => {
    const exchange = await bench.ask({ raw: forwarded('/admin') });
    expectAllowed(exchange);
    expect(exchange.record).toMatchObject({ path: '/public/page', method: 'GET', host: 'app.example' });
  });
  test('the address is that of the connection', async () => {
    expectAllowed(
      await bench.ask({ path: '/office', ip: '10.1.2.3', raw: [['x-forwarded-for', '203.0.113.9']] }),
    );
    await denied(
      { path: '/office', ip: '203.0.113.9', raw: [['x-forwarded-for', '10.1.2.3']] },
      ...NOT_PERMITTED,
    );
  });
  test('the service name that a client can choose is no workload', async () => {
    expectAllowed(await bench.ask({ path: '/entries', principal: PAYMENT_API }));
    const attributes = { source: { service: PAYMENT_API } };
    await denied({ path: '/entries', attributes }, ...NOT_PERMITTED);
  });
  test.each(['x-pdp-decision-id', 'authorization', 'close, x-device-assertion', 'X-Forwarded-Client-Cert'])(
    'denies a connection that has the next hop take out %s',
    async (value) => {
      await denied({ raw: [['connection', value]] }, 'header_ambiguous');
      await denied({ joined: { connection: `keep-alive,${value}` } }, 'header_ambiguous');
    },
  );
  test('allows the options that mean nothing but the connection', async () => {
    expectAllowed(
      await bench.ask({
        raw: [
          ['connection', 'Keep-Alive, TE'],
          ['te', 'trailers'],
        ],
      }),
    );
  });
});

flawClass(12, 'gRPC', () => {
  test.each([
    'kube-probe/1.35',
    'GoogleHC/1.0',
    'ELB-HealthChecker/2.0',
    'Envoy/HC',
    'Prometheus/3.0',
    'Consul Health Check',
  ])('decides for %s as for anybody', async (agent) => {
    const raw = [
      ['user-agent', agent],
      ['x-envoy-healthchecked-cluster', 'app'],
    ] as const;
    for (const path of ['/healthz', '/livez', '/readyz', '/ping', '/metrics', '/grpc.health.v1.Health/Check'])
      await denied({ path, raw }, ...NOT_PERMITTED);
    expectAllowed(await bench.ask({ raw }));
  });
  test("an identity-less OPTIONS is no way in, and HEAD is not GET's twin", async () => {
    await denied({ path: '/people', method: 'OPTIONS' }, 'no_binding');
    await denied({ path: '/public/page', method: 'HEAD' }, 'no_binding');
  });
});
