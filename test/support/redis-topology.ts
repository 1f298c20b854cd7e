import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { eventually } from './eventually.ts';
import { freePort } from './free-port.ts';
import { type TestRedis, spawnRedis, startRedis } from './redis.ts';
import { stopProcess } from './stop-process.ts';

/** Servers that a client finds by asking others. */
export interface TestTopology extends AsyncDisposable {
  /** Of the sentinels, or of the nodes. */
  readonly urls: readonly string[];
  /** The servers that hold data: the master first. */
  readonly servers: readonly TestRedis[];
}

const MASTER = 'primary';
const SLOTS = 16_384;

/** Name of the master of {@link startSentinel}. */
export const SENTINEL_MASTER = MASTER;

/** Starts a master, a replica of it, and one sentinel that makes the replica the master half a second after the master has gone. */
export async function startSentinel(): Promise<TestTopology> {
  await using stack = new AsyncDisposableStack();
  const folder = await temporaryFolder(stack);
  const master = stack.use(await startRedis({ exclusive: true }));
  const replicaOf = ['--replicaof', '127.0.0.1', String(master.port), '--repl-diskless-sync-delay', '0'];
  const replica = stack.use(await startRedis({ exclusive: true, flags: replicaOf }));
  await eventually('the replica has the data of the master', async () =>
    (await replica.client.info('replication')).includes('master_link_status:up') ? true : undefined,
  );
  const port = await freePort();
  const file = join(folder, 'sentinel.conf');
  const lines = [
    `port ${port}`,
    'bind 127.0.0.1',
    `sentinel monitor ${MASTER} 127.0.0.1 ${master.port} 1`,
    `sentinel down-after-milliseconds ${MASTER} 500`,
    `sentinel failover-timeout ${MASTER} 3000`,
  ];
  await writeFile(file, `${lines.join('\n')}\n`);
  const child = spawnRedis([file, '--sentinel']);
  stack.defer(() => stopProcess(child));
  await sentinelKnows(port);
  return owning({ urls: [`redis://127.0.0.1:${port}`], servers: [master, replica] }, stack);
}

async function sentinelKnows(port: number): Promise<void> {
  const client = new Redis({ port, lazyConnect: true });
  client.on('error', () => undefined);
  await eventually('the sentinel knows the replica', async () => {
    const replicas = await client.call('SENTINEL', 'REPLICAS', MASTER).catch(() => []);
    return Array.isArray(replicas) && replicas.length === 1 ? true : undefined;
  });
  client.disconnect();
}

/** Starts a cluster of three masters. */
export async function startCluster(): Promise<TestTopology> {
  await using stack = new AsyncDisposableStack();
  const folder = await temporaryFolder(stack);
  const servers: { readonly redis: TestRedis; readonly bus: number }[] = [];
  for (const name of ['a', 'b', 'c']) {
    const bus = await freePort();
    const flags = ['--cluster-enabled', 'yes', '--cluster-config-file', join(folder, `${name}.conf`)];
    flags.push('--cluster-port', String(bus), '--cluster-node-timeout', '2000');
    servers.push({ redis: stack.use(await startRedis({ exclusive: true, flags })), bus });
  }
  const [first] = servers;
  for (const [index, { redis, bus }] of servers.entries()) {
    const from = Math.floor((SLOTS / servers.length) * index);
    const to = Math.floor((SLOTS / servers.length) * (index + 1)) - 1;
    await redis.client.call('CLUSTER', 'ADDSLOTSRANGE', from, to);
    await first?.redis.client.call('CLUSTER', 'MEET', '127.0.0.1', redis.port, bus);
  }
  for (const { redis } of servers)
    await eventually('the node knows the whole cluster', async () => {
      const info = String(await redis.client.call('CLUSTER', 'INFO'));
      return info.includes('cluster_state:ok') && info.includes('cluster_known_nodes:3') ? true : undefined;
    });
  const nodes = servers.map(({ redis }) => redis);
  return owning({ urls: nodes.map(({ url }) => url), servers: nodes }, stack);
}

async function temporaryFolder(stack: AsyncDisposableStack): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'pdp-redis-'));
  stack.defer(() => rm(folder, { recursive: true, force: true, maxRetries: 20 }));
  return folder;
}

function owning(parts: Omit<TestTopology, keyof AsyncDisposable>, stack: AsyncDisposableStack): TestTopology {
  const owned = stack.move();
  return { ...parts, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}
