import { readFile, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { once } from 'node:events';
import { expect, test } from 'vitest';
import { runPdp } from '../../support/app.ts';
import { eventually } from '../../support/eventually.ts';
import { readRecords } from '../../support/pdp-process.ts';
import { startRedis } from '../../support/redis.ts';
import { PAYMENT_API, checkRequestBytes } from '../../support/requests.ts';
import { POLICIES } from '../../support/snapshot.ts';
import { type WorkersProcess, connectAlone, startWorkers } from '../../support/workers.ts';

/** What came of the checks of one connection. */
interface Lane {
  answered: number;
  wrong: number;
  failed: number;
  /** Answers since the newest failure. */
  since: number;
}

// A busy machine must not make a deny of a permit.
const decision = { timeout_ms: 5000 };

/** One check after the other on each of `lanes` connections, until it is told to end. */
function steadyLoad(address: string, lanes: number) {
  const state = { ended: false };
  const results = Array.from({ length: lanes }, (): Lane => ({ answered: 0, wrong: 0, failed: 0, since: 0 }));
  const run = async (lane: Lane): Promise<void> => {
    using client = connectAlone(address);
    while (!state.ended) {
      try {
        const { allowed } = await client.check(checkRequestBytes());
        lane.answered += 1;
        lane.since += 1;
        if (!allowed) lane.wrong += 1;
      } catch {
        lane.failed += 1;
        lane.since = 0;
      }
    }
  };
  const done = Promise.all(results.map(run));
  return {
    results,
    async end() {
      state.ended = true;
      await done;
    },
  };
}

async function checksCounted(pdp: WorkersProcess): Promise<number> {
  const text = await (await pdp.ops('/metrics')).text();
  const lines = [...text.matchAll(/^pdp_checks_total\{.*\} (\d+)$/gm)];
  return lines.reduce((sum, [, count]) => sum + Number(count), 0);
}

async function kindsIn(dir: string): Promise<readonly string[]> {
  const files = (await readdir(dir)).filter((name) => name.endsWith('.ndjson')).toSorted();
  const texts = await Promise.all(files.map((name) => readFile(join(dir, name), 'utf8')));
  const lines = texts.flatMap((text) => text.trimEnd().split('\n'));
  return lines.map((line) => (JSON.parse(line) as { kind: string }).kind);
}

test('a worker that is killed under load takes nobody with it, comes back, and leaves logs that verify', async () => {
  await using pdp = await startWorkers({ workers: 2, decision });
  const before = await pdp.readiness();
  expect(before).toMatchObject({ ready: true, problems: [], details: { workers: 2 } });
  const load = steadyLoad(pdp.grpc, 4);
  await eventually(
    'all connections are served',
    () => load.results.every(({ answered }) => answered > 20) || undefined,
  );
  const logs = ['worker-1', 'worker-2'].map((name) => join(pdp.folder.auditDir, name));
  for (const log of logs) expect((await readRecords(log)).length).toBeGreaterThan(0);
  const counted = await checksCounted(pdp);
  expect(counted).toBeGreaterThan(80);

  const pid = Number(before.details['worker_2_pid']);
  process.kill(pid, 'SIGKILL');
  const fallen = await eventually('readiness falls', async () => {
    const readiness = await pdp.readiness();
    return readiness.ready ? undefined : readiness;
  });
  expect(fallen.problems).toEqual([expect.stringMatching(/^worker 2: /)]);
  expect(await checksCounted(pdp)).toBeGreaterThanOrEqual(counted);
  const after = await eventually(
    'it is back',
    async () => {
      const readiness = await pdp.readiness();
      return readiness.ready ? readiness : undefined;
    },
    30_000,
  );
  expect(after.details['worker_2_pid']).not.toBe(pid);
  expect(after.details['worker_1_pid']).toBe(before.details['worker_1_pid']);
  await eventually(
    'all connections are served again',
    () => load.results.every(({ since }) => since > 20) || undefined,
  );
  await load.end();
  // Each worker had some of the four connections.
  const broken = load.results.filter(({ failed }) => failed > 0).length;
  expect(broken).toBeGreaterThan(0);
  expect(broken).toBeLessThan(4);
  expect(load.results.map(({ wrong }) => wrong)).toEqual([0, 0, 0, 0]);
  const answered = load.results.reduce((sum, lane) => sum + lane.answered, 0);
  const metrics = await (await pdp.ops('/metrics')).text();
  expect(metrics).toMatch(/^pdp_workers 2$/m);
  expect(metrics).toMatch(/^pdp_workers_lost_total 1$/m);
  expect(metrics).toMatch(/^pdp_ready 1$/m);
  expect(metrics).toMatch(/^pdp_policies \d\d?$/m);

  const exited = once(pdp.child, 'exit');
  pdp.child.kill('SIGTERM');
  expect(await exited).toEqual([0, null]);
  const records = (await Promise.all(logs.map(readRecords))).flat();
  expect(records.length).toBeGreaterThanOrEqual(answered);
  for (const log of logs) expect((await kindsIn(log)).at(-1)).toBe('shutdown');
  const verified = await runPdp('audit', 'verify', pdp.folder.auditDir);
  expect(verified.out).toMatch(/^OVERALL: OK$/m);
  expect(verified.code).toBe(0);
});

const TOKEN = 'a-token-of-at-least-32-characters-here';

test('what is revoked is revoked on all workers, and what is promoted is in force on all of them', async () => {
  await using redis = await startRedis({ exclusive: true });
  await using pdp = await startWorkers(
    {
      workers: 2,
      shared_state: { kind: 'redis', url: redis.url },
      revocation: { admin_token_file: 'token' },
      ops: { address: '127.0.0.1:0', admin_token_file: 'token' },
      policies: {
        sets: [join(POLICIES, 'mesh-call'), join(POLICIES, 'finance-dashboard')],
        candidate: { sets: [join(POLICIES, 'mesh-call')] },
        state_file: 'state.json',
      },
    },
    { token: TOKEN },
  );
  const clients = Array.from({ length: 4 }, () => connectAlone(pdp.grpc));
  const all = async () => {
    const answers = await Promise.all(clients.map((client) => client.check(checkRequestBytes())));
    return answers.map(({ allowed }) => allowed);
  };
  expect(await all()).toEqual([true, true, true, true]);
  const headers = { authorization: `Bearer ${TOKEN}` };

  const promoted = await pdp.ops('/policies/promote', { method: 'POST', headers });
  expect([promoted.status, await promoted.json()]).toMatchObject([200, { slot: 'candidate', by: 'promote' }]);
  for (const worker of ['worker-1', 'worker-2'])
    expect(await kindsIn(join(pdp.folder.auditDir, worker))).toContain('policy_activated');
  expect((await pdp.readiness()).details).toMatchObject({ slot: 'candidate' });
  const wrong = { method: 'POST', headers, body: JSON.stringify({ digest: `sha256:${'0'.repeat(64)}` }) };
  expect((await pdp.ops('/policies/promote', wrong)).status).toBe(409);
  expect((await pdp.ops('/policies/rollback', { method: 'POST', headers })).status).toBe(200);
  expect((await pdp.readiness()).details).toMatchObject({ slot: 'sets' });
  expect(await (await pdp.ops('/shadow', { headers })).json()).toMatchObject({ outcomes: {} });

  const body = JSON.stringify({
    action: 'shut_off',
    subject: { kind: 'workload', id: PAYMENT_API },
    reason: 'test',
  });
  expect((await pdp.ops('/revocations', { method: 'POST', body })).status).toBe(401);
  const revoked = await pdp.ops('/revocations', { method: 'POST', headers, body });
  expect([revoked.status, await revoked.text()]).toEqual([200, expect.stringContaining('shut_off')]);
  await eventually(
    'all workers refuse it',
    async () => (await all()).every((allowed) => !allowed) || undefined,
  );
  const list = (await (await pdp.ops('/revocations', { headers })).json()) as {
    revocations: { refused: number }[];
  };
  // Each worker counts what it refuses; all four of at least one round are in the sum.
  expect(list.revocations[0]?.refused).toBeGreaterThanOrEqual(4);

  const { details } = await pdp.readiness();
  process.kill(Number(details['worker_1_pid']), 'SIGKILL');
  await eventually(
    'it is back',
    async () => {
      const now = await pdp.readiness();
      return (now.ready && now.details['worker_1_pid'] !== details['worker_1_pid']) || undefined;
    },
    30_000,
  );
  const fresh = Array.from({ length: 4 }, () => connectAlone(pdp.grpc));
  for (const client of fresh) expect((await client.check(checkRequestBytes())).allowed).toBe(false);
  for (const client of [...clients, ...fresh]) client[Symbol.dispose]();
});

test('a configuration that no worker can start with ends the start with what is wrong', async () => {
  await expect(startWorkers({ workers: 2, policies: { sets: ['nowhere'] } })).rejects.toThrow(/nowhere/);
});
