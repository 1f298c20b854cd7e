import { mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { justInTimeConfig } from '../support/just-in-time.ts';
import { eventually } from '../support/eventually.ts';
import { type Mesh, type MeshAnswer, startMesh } from '../support/mesh.ts';
import { findEnvoy, findRedisServer } from '../support/parts.ts';
import { type PdpProcess, startPdp } from '../support/pdp-process.ts';
import { type TestRedis, startRedis } from '../support/redis.ts';
import { type TestIssuer, createTestIssuer } from '../support/tokens.ts';

const WHY = 'INC-1207: stuck orders';
const MAX_LAG_MS = 2000;

let stack: AsyncDisposableStack;
let folder: string;
let issuer: TestIssuer;
let redis: TestRedis;
let mesh: Mesh;
/** The replica that Envoy asks, and another one that Envoy knows nothing of. */
let asked: PdpProcess;
let other: PdpProcess;

const canRun = findEnvoy() !== undefined && findRedisServer() !== undefined;

beforeAll(async () => {
  stack = new AsyncDisposableStack();
  if (!canRun) return;
  folder = await mkdtemp(join(tmpdir(), 'pdp-just-in-time-'));
  stack.defer(() => rm(folder, { recursive: true, force: true, maxRetries: 20 }));
  issuer = await createTestIssuer({ issuer: 'https://id.example.com', audience: 'orders' });
  await writeFile(join(folder, 'jwks.json'), JSON.stringify(issuer.jwks));
  await writeFile(
    join(folder, 'directory.json'),
    JSON.stringify({ 'staff/kim': { groups: ['orders-operators'] } }),
  );
  redis = stack.use(await startRedis({ exclusive: true }));
  const config = configOf(redis);
  mesh = stack.use(await startMesh({ config, identities: { ledgerApi: '/ns/orders/sa/orders-api' } }));
  asked = mesh.pdp;
  other = stack.use(await startPdp({ config }));
});
afterAll(() => stack.disposeAsync());

function configOf({ url }: TestRedis): Record<string, unknown> {
  return {
    decision: { timeout_ms: 4000 },
    ...justInTimeConfig(issuer, folder),
    shared_state: { kind: 'redis', url, heartbeat_ms: 100 },
    grants: {
      scopes: [
        {
          name: 'orders',
          max_s: 3600,
          break_glass: true,
          requesters: { issuers: ['staff'] },
          approvers: { users: ['staff/lee'] },
        },
      ],
      max_lag_ms: MAX_LAG_MS,
    },
  };
}

interface GrantAnswer {
  readonly status: number;
  readonly id: string;
  readonly state: string;
  readonly expires_at: string;
  readonly detail?: string;
}

/** Calls the grant book of one replica as a user. */
async function grants(pdp: PdpProcess, as: string, path: string, body: object): Promise<GrantAnswer> {
  const answer = await fetch(`http://127.0.0.1:${pdp.httpPort}/grants${path}`, {
    method: 'POST',
    headers: {
      authorization: `Bearer ${await issuer.sign({ sub: as })}`,
      'content-type': 'application/json',
    },
    body: JSON.stringify(body),
  });
  return { ...((await answer.json()) as GrantAnswer), status: answer.status };
}

const ask = (pdp: PdpProcess, as: string, more: object = {}): Promise<GrantAnswer> =>
  grants(pdp, as, '', { scope: 'orders', duration_s: 600, justification: WHY, ...more });

/** A request of a user through Envoy. */
async function send(as: string, method = 'POST'): Promise<MeshAnswer> {
  const token = await issuer.sign({ sub: as });
  return await mesh.send({
    to: 'ledger-api',
    as: mesh.workloads.paymentApi,
    method,
    path: '/orders/9/release',
    token,
  });
}

const reasonOf = ({ body }: MeshAnswer): string => (JSON.parse(body) as { reason: string }).reason;

/** Waits until a write comes out so; the ms that took. */
async function untilWrite(as: string, status: number, withinMs = 10_000): Promise<number> {
  const began = performance.now();
  await eventually(
    `a write of ${as} is answered with ${status}`,
    async () => ((await send(as)).status === status ? true : undefined),
    withinMs,
  );
  return performance.now() - began;
}

describe.skipIf(!canRun)('scenario 6, just in time, through Envoy and with two replicas on one Redis', () => {
  test('standing access is read-only', async () => {
    expect((await send('kim', 'GET')).status).toBe(200);
    const denied = await send('kim');
    expect(denied.status).toBe(403);
    expect(JSON.parse(denied.body)).toMatchObject({
      reason: 'policy_forbids',
      detail: 'writing needs a live grant',
    });
  });

  test('a grant of another replica is live within a second, and so is its end when it is revoked', async () => {
    const { id, state } = await ask(other, 'kim');
    expect(state).toBe('requested');
    expect((await send('kim')).status).toBe(403);
    expect(await grants(other, 'kim', `/${id}/approve`, {})).toMatchObject({ status: 403 });
    expect(await grants(other, 'lee', `/${id}/approve`, {})).toMatchObject({
      status: 200,
      state: 'approved',
    });
    expect(await untilWrite('kim', 200)).toBeLessThan(1000);
    const record = (await asked.records(0)).at(-1);
    expect(record).toMatchObject({
      decision: 'ALLOW',
      user: 'staff/kim',
      policies: ['jit.granted-operators-write'],
    });
    expect(await grants(other, 'lee', `/${id}/revoke`, { reason: 'done' })).toMatchObject({ status: 200 });
    expect(await untilWrite('kim', 403)).toBeLessThan(1000);
    expect(await grants(asked, 'lee', `/${id}/approve`, {})).toMatchObject({ status: 409 });
  });

  test('a grant ends by itself, also where the decision was cached', async () => {
    const { id } = await ask(other, 'kim', { duration_s: 3 });
    const { expires_at: end } = await grants(asked, 'lee', `/${id}/approve`, {});
    await untilWrite('kim', 200);
    expect((await send('kim')).status).toBe(200);
    await untilWrite('kim', 403);
    expect(Date.now()).toBeGreaterThanOrEqual(Date.parse(end));
    expect(Date.now() - Date.parse(end)).toBeLessThan(1000);
  });

  test('breaking glass works for somebody who is no operator, shouts, and is not renewed', async () => {
    expect((await send('pat')).status).toBe(403);
    const broken = await ask(other, 'pat', { break_glass: true });
    expect(broken).toMatchObject({ status: 201, state: 'approved' });
    await untilWrite('pat', 200);
    expect((await asked.records(0)).at(-1)).toMatchObject({
      decision: 'ALLOW',
      policies: ['jit.break-glass-writes'],
    });
    expect(await ask(asked, 'pat', { break_glass: true })).toMatchObject({ status: 409 });
    expect(other.output()).toContain('GLASS WAS BROKEN');
    expect(await changesIn(other)).toContainEqual(
      expect.objectContaining({
        change: 'broke_glass',
        user: 'staff/pat',
        justification: WHY,
        break_glass: true,
      }),
    );
    expect(await grants(asked, 'lee', `/${broken.id}/revoke`, {})).toMatchObject({ status: 200 });
    await untilWrite('pat', 403);
  });

  test('without Redis nothing is granted, and what may have changed is not believed for long', async () => {
    const { id } = await ask(other, 'kim');
    await grants(other, 'lee', `/${id}/approve`, {});
    await untilWrite('kim', 200);
    await redis.stop();
    const lost = performance.now();
    expect(await ask(other, 'kim', { break_glass: true })).toMatchObject({ status: 503 });
    await untilWrite('kim', 503);
    expect(performance.now() - lost).toBeLessThan(MAX_LAG_MS + 3000);
    expect(reasonOf(await send('kim'))).toBe('attribute_unavailable');
    const again = await startRedis({ exclusive: true, port: redis.port });
    stack.use(again);
    // What the replicas know goes back to a Redis that has forgotten everything.
    await untilWrite('kim', 200, 20_000);
    await eventually('a grant is revoked', async () => {
      const { status } = await grants(other, 'lee', `/${id}/revoke`, {});
      return status === 200 ? true : undefined;
    });
    await untilWrite('kim', 403);
  });
});

async function changesIn({ auditDir }: PdpProcess): Promise<object[]> {
  const names = (await readdir(auditDir)).filter((name) => name.endsWith('.ndjson'));
  const texts = await Promise.all(names.map((name) => readFile(join(auditDir, name), 'utf8')));
  const lines = texts.flatMap((text) => text.split('\n').slice(0, -1));
  return lines
    .map((line) => JSON.parse(line) as { kind: string })
    .filter(({ kind }) => kind === 'grant_changed');
}
