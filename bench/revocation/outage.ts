import { setTimeout as delay } from 'node:timers/promises';
import { type TestRedis, startRedis } from '../../test/support/redis.ts';
import type { Replica } from './replicas.ts';

/** What became of the checks in one stretch of time. */
export interface Stretch {
  readonly name: string;
  readonly seconds: number;
  readonly allowed: number;
  readonly denied: number;
  /** Ms of the slowest check. */
  readonly slowestMs: number;
  /** Whether every replica said all the time that it is ready. */
  readonly ready: boolean;
}

const BEFORE_S = 3;
const DOWN_S = 8;
const AFTER_S = 4;

/** Kills Redis under load and starts an empty one in its place. */
export async function measureOutage(
  replicas: readonly Replica[],
  redis: TestRedis,
  adminToken: string,
): Promise<{
  readonly stretches: readonly Stretch[];
  readonly stillRevoked: number;
  readonly restoredMs: number;
}> {
  const stretches = [await load('before', BEFORE_S, replicas)];
  await redis.stop();
  stretches.push(await load('Redis is down', DOWN_S, replicas));
  const started = performance.now();
  await using again = await startRedis({ exclusive: true, port: redis.port });
  void again;
  const restoredMs = await untilWritable(replicas, adminToken, started);
  stretches.push(await load('Redis is back, and empty', AFTER_S, replicas));
  let stillRevoked = 0;
  for (const replica of replicas)
    if (!(await replica.ask('spiffe://prod.example.com/ns/bench/sa/w0')).allowed) stillRevoked += 1;
  return { stretches, stillRevoked, restoredMs };
}

async function load(name: string, seconds: number, replicas: readonly Replica[]): Promise<Stretch> {
  const end = performance.now() + seconds * 1000;
  const counts = { allowed: 0, denied: 0, slowestMs: 0, ready: true };
  await Promise.all(
    replicas.map(async (replica, index) => {
      for (let n = 0; performance.now() < end; n++) {
        const asked = performance.now();
        const { allowed } = await replica.ask(
          `spiffe://prod.example.com/ns/bench/sa/load-${index}-${n % 200}`,
        );
        counts.slowestMs = Math.max(counts.slowestMs, performance.now() - asked);
        if (allowed) counts.allowed += 1;
        else counts.denied += 1;
        if (n % 50 === 0) {
          const { status } = await fetch(`http://127.0.0.1:${replica.pdp.opsPort}/readyz`);
          counts.ready &&= status === 200;
        }
        await delay(5);
      }
    }),
  );
  return { name, seconds, ...counts };
}

/** Ms from the start of the new Redis until a revocation is taken again. */
async function untilWritable(
  [replica]: readonly Replica[],
  adminToken: string,
  started: number,
): Promise<number> {
  for (let n = 0; ; n++) {
    const answer = await fetch(`http://127.0.0.1:${replica?.pdp.opsPort}/revocations`, {
      method: 'POST',
      headers: { authorization: `Bearer ${adminToken}` },
      body: JSON.stringify({
        action: 'shut_off',
        subject: { kind: 'workload', id: `spiffe://prod.example.com/ns/bench/sa/after-${n}` },
        reason: 'measurement',
      }),
    });
    if (answer.status === 200) return performance.now() - started;
    if (performance.now() - started > 60_000) throw new Error('Redis is not back after 60 s');
    await delay(50);
  }
}
