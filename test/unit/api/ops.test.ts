import { afterEach, beforeEach, expect, test } from 'vitest';
import { openGate } from '../../../src/api/ops-admin.ts';
import { type OpsServer, type Readiness, type Rollout, startOpsServer } from '../../../src/api/ops.ts';

let ops: OpsServer;
let readiness: Readiness;
const rollout: Rollout = {
  policies: () => ({ enforced: 'sets' }),
  shadow: () => undefined,
  promote: () => Promise.resolve({}),
  rollback: () => Promise.resolve({}),
};
let metrics: () => Promise<{ contentType: string; body: string }>;

beforeEach(async () => {
  readiness = { ready: true, problems: [], details: { snapshot: 'sha256:1' } };
  metrics = () => Promise.resolve({ contentType: 'text/plain; version=0.0.4', body: 'pdp_ready 1\n' });
  ops = await startOpsServer({
    address: '127.0.0.1:0',
    readiness: () => readiness,
    metrics: () => metrics(),
    rollout,
    gate: openGate(undefined, true),
  });
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
  await expect(
    startOpsServer({
      address: ops.address,
      readiness: () => readiness,
      metrics: () => metrics(),
      rollout,
      gate: openGate(undefined, true),
    }),
  ).rejects.toThrow(/EADDRINUSE/);
});
