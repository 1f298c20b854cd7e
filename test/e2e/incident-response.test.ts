import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { runPdp } from '../support/app.ts';
import { eventually } from '../support/eventually.ts';
import { type Mesh, type MeshAnswer, startMesh } from '../support/mesh.ts';
import { findEnvoy, findRedisServer } from '../support/parts.ts';
import { startRedis } from '../support/redis.ts';
import { POLICIES } from '../support/snapshot.ts';

const TOKEN = 'a-token-of-more-than-32-characters-0123456789';
/** Design §8: event to effect on all replicas. */
const BOUND_MS = 1000;

const canRun = findEnvoy() !== undefined && findRedisServer() !== undefined;

let stack: AsyncDisposableStack;
let tokenFile: string;
/** Two Envoys, each with a PDP of its own; what both PDPs share is one Redis. */
let meshes: readonly [Mesh, Mesh];

beforeAll(async () => {
  stack = new AsyncDisposableStack();
  if (!canRun) return;
  const folder = await mkdtemp(join(tmpdir(), 'pdp-incident-'));
  stack.defer(() => rm(folder, { recursive: true, force: true, maxRetries: 20 }));
  tokenFile = join(folder, 'token');
  await writeFile(tokenFile, TOKEN);
  const redis = stack.use(await startRedis({ exclusive: true }));
  const sets = ['mesh-call', 'finance-dashboard', 'incident-response'];
  const config = {
    policies: { sets: sets.map((name) => join(POLICIES, name)) },
    shared_state: { kind: 'redis', url: redis.url },
    revocation: { admin_token_file: tokenFile },
  };
  meshes = [stack.use(await startMesh({ config })), stack.use(await startMesh({ config }))];
});
afterAll(() => stack.disposeAsync());

const postEntry = (mesh: Mesh): Promise<MeshAnswer> =>
  mesh.send({ to: 'ledger-api', as: mesh.workloads.paymentApi, method: 'POST', path: '/internal/entries' });

const readReport = async (mesh: Mesh): Promise<MeshAnswer> =>
  mesh.send({
    to: 'reports-api',
    as: mesh.workloads.dashboardApp,
    path: '/api/reports/quarterly',
    token: await mesh.token(),
  });

const revoke = ({ pdp }: Mesh, ...args: readonly string[]) =>
  runPdp('revoke', ...args, '--ops', `127.0.0.1:${pdp.opsPort}`, '--token-file', tokenFile);

/** Awaits that the workload gets this answer, and asserts that it did within the bound of the design. */
async function untilEntry(mesh: Mesh, status: number, since: number): Promise<MeshAnswer> {
  const answer = await eventually(`an entry is answered by ${status}`, async () => {
    const got = await postEntry(mesh);
    return got.status === status ? got : undefined;
  });
  expect(performance.now() - since).toBeLessThan(BOUND_MS);
  return answer;
}

describe.skipIf(!canRun)('scenario 10, incident response, through two Envoys and two PDPs', () => {
  test('a workload identity is shut off everywhere at once, and nothing else is; lifting restores it', async () => {
    const [one, other] = meshes;
    for (const mesh of meshes) {
      expect((await postEntry(mesh)).status).toBe(200);
      expect((await readReport(mesh)).status).toBe(200);
    }
    const { spiffeId } = one.workloads.paymentApi;
    const done = await revoke(one, 'workload', spiffeId, '--reason', 'INC-7: taken over');
    const since = performance.now();
    expect(done).toMatchObject({ code: 0, err: '', out: expect.stringContaining(spiffeId) as string });

    // Where it was told it is in force when it has answered: the very next request is refused, though it is cached.
    const refused = await postEntry(one);
    expect(refused.status).toBe(403);
    expect(JSON.parse(refused.body)).toMatchObject({ reason: 'identity_revoked' });
    expect(refused.body).not.toContain('INC-7');
    await untilEntry(other, 403, since);
    for (const mesh of meshes) expect((await readReport(mesh)).status).toBe(200);

    const records = await one.pdp.records(1);
    const record = records.find(({ reason }) => reason === 'identity_revoked');
    expect(record).toMatchObject({
      decision: 'DENY',
      source_identity: { spiffe_id: spiffeId },
      cause: 'revoked',
      detail: expect.stringMatching(
        /^workload \S+: shut off since \S+, by admin \(INC-7: taken over\)$/,
      ) as string,
    });

    const lifted = await revoke(other, 'workload', spiffeId, '--lift', '--reason', 'cleaned up');
    const again = performance.now();
    expect(lifted).toMatchObject({ code: 0, out: expect.stringContaining('nothing is in force') as string });
    expect((await postEntry(other)).status).toBe(200);
    await untilEntry(one, 200, again);
  });

  test('a user is shut off whichever workload acts for them, and the workload goes on for others', async () => {
    const [one, other] = meshes;
    const done = await revoke(one, 'user', 'demo/alice', '--shut-off', '--for', '8h', '--reason', 'phished');
    expect(done.code).toBe(0);
    const { status, body, headers } = await readReport(one);
    expect([status, JSON.parse(body)]).toMatchObject([401, { reason: 'token_revoked' }]);
    expect(headers['www-authenticate']).toContain('error="invalid_token"');
    await eventually('the other one refuses too', async () =>
      (await readReport(other)).status === 401 ? true : undefined,
    );
    expect((await postEntry(one)).status).toBe(200);
    expect((await revoke(one, 'user', 'demo/alice', '--lift', '--reason', 'over')).code).toBe(0);
    expect((await readReport(one)).status).toBe(200);
  });
});
