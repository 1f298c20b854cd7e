import { request } from 'node:https';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import { openGate } from '../../../../src/api/ops/ops-admin.ts';
import type { HttpListener } from '../../../../src/api/http/http-listener.ts';
import { type OpsParts, type Readiness, type Rollout, startOpsServer } from '../../../../src/api/ops/ops.ts';
import { MACHINE_CLOCK } from '../../../support/clock.ts';
import { type TestCa, createTestCa } from '../../../support/test-ca.ts';
import { bundlesOf, createTestTrust } from '../../../support/svids.ts';

let ops: HttpListener;
let readiness: Readiness;
const rollout: Rollout = {
  policies: () => ({ enforced: 'sets' }),
  shadow: () => undefined,
  promote: () => Promise.resolve({}),
  rollback: () => Promise.resolve({}),
};
let metrics: () => Promise<{ contentType: string; body: string }>;

const parts = (): OpsParts => ({
  address: '127.0.0.1:0',
  clock: MACHINE_CLOCK,
  readiness: () => readiness,
  metrics: () => metrics(),
  rollout,
  gate: openGate(undefined, true),
});

beforeEach(async () => {
  readiness = { ready: true, problems: [], details: { snapshot: 'sha256:1' } };
  metrics = () => Promise.resolve({ contentType: 'text/plain; version=0.0.4', body: 'pdp_ready 1\n' });
  ops = await startOpsServer(parts());
});
afterEach(() => ops[Symbol.asyncDispose]());

const get = (path: string, init?: RequestInit) => fetch(`http://${ops.address}${path}`, init);

test('is alive', async () => {
  const answer = await get('/livez');
  expect([answer.status, await answer.text()]).toEqual([200, 'ok\n']);
  expect(answer.headers.get('cache-control')).toBe('no-store');
});

test('is ready, and says what is in force', async () => {
  const answer = await get('/readyz');
  expect([answer.status, await answer.json()]).toEqual([200, readiness]);
});

test('is not ready, and says why', async () => {
  readiness = { ready: false, problems: ['the decision log cannot be written'], details: {} };
  const answer = await get('/readyz');
  expect([answer.status, await answer.json()]).toEqual([503, readiness]);
});

test('shows metrics', async () => {
  const answer = await get('/metrics');
  expect(answer.headers.get('content-type')).toBe('text/plain; version=0.0.4');
  expect(await answer.text()).toBe('pdp_ready 1\n');
});

test('says no more than 500 where metrics cannot be shown', async () => {
  metrics = () => Promise.reject(new Error('SECRET'));
  const answer = await get('/metrics');
  expect([answer.status, await answer.text()]).toEqual([500, 'internal error\n']);
});

test('lives on where readiness cannot be told', async () => {
  readiness = undefined as unknown as Readiness;
  expect((await get('/readyz')).status).toBe(500);
  expect((await get('/livez')).status).toBe(200);
});

test.each(['/', '/admin', '/livez/', '/livez?x'])('knows nothing at %s', async (path) => {
  expect((await get(path)).status).toBe(404);
});

test.each(['POST', 'PUT', 'DELETE'])('takes no %s', async (method) => {
  expect((await get('/livez', { method })).status).toBe(405);
});

test('takes HEAD', async () => {
  const answer = await get('/livez', { method: 'HEAD' });
  expect([answer.status, await answer.text()]).toEqual([200, '']);
});

test('does not start on an address that is taken', async () => {
  await expect(startOpsServer({ ...parts(), address: ops.address })).rejects.toThrow(/EADDRINUSE/);
});

describe('over mutual TLS', () => {
  const SCRAPER = 'spiffe://prod.example.com/ns/monitoring/sa/prometheus';
  let ca: TestCa;
  beforeAll(async () => void (ca = await createTestCa('prod.example.com')));
  afterAll(() => ca[Symbol.asyncDispose]());

  async function status(spiffeId?: string): Promise<number> {
    const pdp = await ca.issue({ spiffeId: 'spiffe://prod.example.com/ns/pdp/sa/pdp' });
    const trust = createTestTrust(pdp, bundlesOf(ca));
    const server = await startOpsServer({
      ...parts(),
      tls: { trust, allows: ({ id }) => id === SCRAPER, maxConnectionAgeMs: 60_000 },
    });
    onTestFinished(() => server[Symbol.asyncDispose]());
    const leaf = spiffeId === undefined ? undefined : await ca.issue({ spiffeId });
    const [host, port] = server.address.split(':');
    const identity = leaf && { cert: leaf.cert, key: leaf.key };
    return new Promise((resolve, reject) => {
      request({ host, port, path: '/livez', rejectUnauthorized: false, ...identity }, (answer) => {
        answer.resume();
        resolve(answer.statusCode ?? 0);
      })
        .on('error', reject)
        .end();
    });
  }

  test('answers a caller on the allow list', async () => {
    expect(await status(SCRAPER)).toBe(200);
  });

  test('answers 403 to a trusted caller that is not on the allow list', async () => {
    expect(await status(`${SCRAPER}-2`)).toBe(403);
  });

  test('answers nothing to a caller without a certificate', async () => {
    await expect(status()).rejects.toThrow();
  });
});
