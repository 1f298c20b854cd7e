// How long it takes from a revocation to the first check that it denies, on each of three replicas on one Redis: `npm run bench:revocation`.
// Then: what checks come to while that Redis is killed and started again.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { format, resolveConfig } from 'prettier';
import { startRedis } from '../../test/support/redis.ts';
import { describeMachine } from '../load/report.ts';
import { measureOutage } from './outage.ts';
import { ADMIN_TOKEN, type Replica, startReplicas } from './replicas.ts';
import { htmlReport, markdownReport } from './report.ts';

const REPLICAS = 3;
const EVENTS = 300;
/** Checks each replica answers beside those of the measurement, per second. */
const BACKGROUND_RATE = 100;
const OUT = fileURLToPath(new URL('../', import.meta.url));

/** Ms from sending one revocation until each replica denies. */
async function measureOne(replicas: readonly Replica[], number: number): Promise<number[]> {
  const id = `spiffe://prod.example.com/ns/bench/sa/w${number}`;
  // In the decision cache of every replica by now: cached answers must end too.
  for (const replica of replicas) {
    const { allowed } = await replica.ask(id);
    if (!allowed) throw new Error(`${id} is denied before it is revoked`);
  }
  const told = replicas[number % replicas.length];
  if (!told) throw new Error('no replica');
  const started = performance.now();
  const revoked = fetch(`http://127.0.0.1:${told.pdp.opsPort}/revocations`, {
    method: 'POST',
    headers: { authorization: `Bearer ${ADMIN_TOKEN}` },
    body: JSON.stringify({ action: 'shut_off', subject: { kind: 'workload', id }, reason: 'measurement' }),
  });
  const lags = await Promise.all(replicas.map((replica) => untilDenied(replica, id, started)));
  const answer = await revoked;
  if (answer.status !== 200) throw new Error(`the revocation was answered ${answer.status}`);
  return lags;
}

async function untilDenied(replica: Replica, id: string, started: number): Promise<number> {
  for (;;) {
    const { allowed } = await replica.ask(id);
    const now = performance.now();
    if (!allowed) return now - started;
    if (now - started > 30_000) throw new Error(`${id} is not denied after 30 s`);
  }
}

function background(replicas: readonly Replica[]): { stop(): Promise<void> } {
  const stopped = new AbortController();
  const work = replicas.map(async (replica, index) => {
    for (let n = 0; !stopped.signal.aborted; n++) {
      await replica.ask(`spiffe://prod.example.com/ns/bench/sa/other-${index}-${n % 500}`);
      await delay(1000 / BACKGROUND_RATE);
    }
  });
  return {
    async stop() {
      stopped.abort();
      await Promise.all(work);
    },
  };
}

const folder = mkdtempSync(join(tmpdir(), 'pdp-bench-revocation-'));
try {
  await using stack = new AsyncDisposableStack();
  const redis = stack.use(await startRedis({ exclusive: true }));
  const replicas = await startReplicas(REPLICAS, { folder, redisUrl: redis.url });
  for (const replica of replicas) stack.use(replica);
  const others = background(replicas);
  const lags: number[] = [];
  for (let event = 0; event < EVENTS; event++) {
    lags.push(...(await measureOne(replicas, event)));
    if (event % 50 === 49) process.stderr.write(`${event + 1} of ${EVENTS} revocations\n`);
  }
  await others.stop();
  const outage = await measureOutage(replicas, redis, ADMIN_TOKEN);
  const report = {
    ...describeMachine(),
    command: 'npm run bench:revocation',
    replicas: REPLICAS,
    events: EVENTS,
    backgroundRate: BACKGROUND_RATE,
    lags: lags.sort((a, b) => a - b),
    outage,
  };
  const options = { ...(await resolveConfig(OUT)), parser: 'markdown' };
  writeFileSync(join(OUT, 'REVOCATION.md'), await format(markdownReport(report), options));
  writeFileSync(join(OUT, 'revocation.html'), htmlReport(report));
  writeFileSync(join(OUT, 'revocation.json'), `${JSON.stringify(report, null, 2)}\n`);
  process.stdout.write(markdownReport(report));
} finally {
  rmSync(folder, { recursive: true, force: true });
}
