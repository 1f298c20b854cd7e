import { once } from 'node:events';
import { connect } from 'node:tls';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startPdp } from '../support/pdp-process.ts';
import { createTestCa } from '../support/test-ca.ts';
import {
  BYPASS_POLICIES,
  type Bench,
  type Exchange,
  NOT_PERMITTED,
  PAYMENT_API,
  type Question,
  expectAllowed,
  expectDenied,
  startBench,
} from './fixture.ts';
import { flawClass } from './flaw-class.ts';

const WEB = 'spiffe://prod.example.com/ns/frontend/sa/web';
const NO_IDENTITY = [...NOT_PERMITTED, 'workload_evidence_invalid'] as const;

let bench: Bench;
beforeAll(async () => {
  bench = await startBench();
});
afterAll(() => bench[Symbol.asyncDispose]());

async function denied(asked: Question, ...reasons: readonly string[]): Promise<Exchange> {
  const exchange = await bench.ask(asked);
  expectDenied(exchange, ...reasons);
  return exchange;
}

flawClass(17, 'gRPC', () => {
  const entries: Question = { path: '/entries' };

  test('takes the URI SAN that the PEP authenticated', async () => {
    expectAllowed(await bench.ask({ ...entries, principal: PAYMENT_API }));
    await denied({ ...entries, principal: WEB }, ...NOT_PERMITTED);
  });
  // Envoy puts a DNS SAN or the subject where there is no URI SAN.
  test.each([
    'payment-api.payments.svc',
    'prod.example.com',
    `CN=${PAYMENT_API}`,
    `CN=payment-api,O=${PAYMENT_API}`,
    `URI:${PAYMENT_API}`,
    `DNS:x, URI:${PAYMENT_API}`,
    `${PAYMENT_API},${WEB}`,
    `${PAYMENT_API} `,
    `${PAYMENT_API}/`,
    `${PAYMENT_API}?x`,
    `${PAYMENT_API}#x`,
    PAYMENT_API.replace('spiffe:', 'https:'),
    PAYMENT_API.replace('spiffe:', 'SPIFFE:'),
    PAYMENT_API.replace('/ns/', '//ns/'),
    PAYMENT_API.replace('/ns/', '/./ns/'),
    PAYMENT_API.replace('payments', 'payment%73'),
    PAYMENT_API.replace('prod', 'PROD'),
    PAYMENT_API.replace('prod.', 'user@prod.'),
    PAYMENT_API.replace('.com', '.com:443'),
  ])('takes no identity from %j', async (principal) => {
    const { record } = await denied({ ...entries, principal }, ...NO_IDENTITY);
    expect(record).toBeDefined();
    expect(record).not.toHaveProperty('source_identity');
  });
  test('denies a certificate whose SANs say something else than the principal, in whatever type', async () => {
    await using ca = await createTestCa('prod.example.com');
    const web = await ca.issue({ spiffeId: WEB, dns: [PAYMENT_API, 'payment-api'] });
    const certificate = encodeURIComponent(web.cert);
    await denied(
      { ...entries, principal: PAYMENT_API, certificate },
      'evidence_conflict',
      'workload_evidence_invalid',
    );
  });
  test('resumes no TLS session with a caller: each connection shows its certificate', async () => {
    await using ca = await createTestCa('prod.example.com');
    const [leaf, pep] = [await ca.issue({ spiffeId: WEB }), await ca.issue({ spiffeId: PAYMENT_API })];
    await using pdp = await startPdp({
      tls: { leaf, ca, allow: [PAYMENT_API] },
      config: { policies: { sets: [BYPASS_POLICIES] } },
    });
    const options = {
      host: '127.0.0.1',
      port: pdp.grpcPort,
      ca: ca.bundle,
      cert: pep.cert,
      key: pep.key,
      ALPNProtocols: ['h2'],
    };
    let session: Buffer | undefined;
    for (const turn of ['first', 'second']) {
      // Certificates of workloads name no host; who answers is not what this test is about.
      const socket = connect({
        ...options,
        checkServerIdentity: () => undefined,
        ...(session && { session }),
      });
      socket.on('session', (ticket) => (session = ticket));
      await once(socket, 'secureConnect');
      // The server's first bytes come after its tickets.
      await once(socket, 'data');
      expect({ turn, reused: socket.isSessionReused() }).toEqual({ turn, reused: false });
      session ??= socket.getSession();
      socket.destroy();
    }
  });
  test('denies a certificate that cannot be read', async () => {
    const certificate = encodeURIComponent('-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n');
    await denied(
      { ...entries, principal: PAYMENT_API, certificate },
      'evidence_conflict',
      'workload_evidence_invalid',
    );
  });
});

flawClass(18, 'gRPC', () => {
  test('compares identities whole: no character stands for another, and nothing may follow or go before', async () => {
    expectAllowed(await bench.ask({ path: '/entries', principal: PAYMENT_API }));
    for (const principal of [
      'spiffe://prodxexample.com/ns/payments/sa/payment-api',
      'spiffe://prod.example.com/ns/payments/sa/payment-api2',
      'spiffe://prod.example.com/ns/payments/sa/payment-ap',
      'spiffe://evil.example/prod.example.com/ns/payments/sa/payment-api',
      'spiffe://prod.example.com/x/ns/payments/sa/payment-api',
      'spiffe://prod.example.com/ns/payments/sa/payment_api',
    ])
      await denied({ path: '/entries', principal }, ...NO_IDENTITY);
  });
  test('a dot in a pattern or a host is a dot', async () => {
    expectAllowed(await bench.ask({ path: '/v1.0/things' }));
    for (const path of ['/v1x0/things', '/v10/things', '/x/v1.0/things', '/v1.0'])
      await denied({ path }, ...NOT_PERMITTED);
    await denied({ host: 'openxexample', path: '/anything' }, ...NOT_PERMITTED);
    await denied({ host: 'open.example.evil.example', path: '/anything' }, ...NOT_PERMITTED);
  });
  test('what looks like a pattern in a request is text', async () => {
    for (const path of ['/v1.0*', '/.*', '/public', '/*', '/p*blic/x'])
      await denied({ path }, ...NOT_PERMITTED);
    await denied({ path: '/people', token: await bench.issuer.sign({ sub: '*' }) }, ...NOT_PERMITTED);
    await denied({ path: '/people', token: await bench.issuer.sign({ sub: '.*' }) }, ...NOT_PERMITTED);
  });
});
