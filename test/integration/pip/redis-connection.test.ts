import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type RedisClient, connectRedis, redisProblem } from '../../../src/pip/redis/connection.ts';
import type { RedisServer } from '../../../src/pip/redis/server.ts';
import { eventually } from '../../support/eventually.ts';
import { freePort } from '../../support/free-port.ts';
import { findRedisServer } from '../../support/parts.ts';
import { startRedis } from '../../support/redis.ts';
import { SENTINEL_MASTER, startCluster, startSentinel } from '../../support/redis-topology.ts';
import { createTestCa } from '../../support/test-ca.ts';
import { type MemoryLog, memoryLog } from '../../unit/pip/fixture.ts';

let log: MemoryLog;
let folder: string;
let stack: AsyncDisposableStack;

async function connect(server: RedisServer): Promise<RedisClient> {
  const redis = await connectRedis({ name: 'test', log, ...server });
  stack.defer(() => redis.disconnect());
  return redis;
}

async function answers(redis: RedisClient): Promise<void> {
  await eventually('Redis answers', () =>
    redis.get('x').then(
      () => true,
      () => undefined,
    ),
  );
}

describe.skipIf(findRedisServer() === undefined)('a connection to a real Redis', () => {
  beforeEach(async () => {
    log = memoryLog();
    stack = new AsyncDisposableStack();
    folder = await mkdtemp(join(tmpdir(), 'pdp-redis-'));
    stack.defer(() => rm(folder, { recursive: true }));
  });
  afterEach(() => stack.disposeAsync());

  test('takes a password that has changed for its next connection', async () => {
    const server = stack.use(await startRedis({ password: 'first' }));
    const passwordFile = join(folder, 'password');
    await writeFile(passwordFile, 'first\n');
    const redis = await connect({ url: server.url, passwordFile });
    await answers(redis);
    await server.client.config('SET', 'requirepass', 'second');
    await writeFile(passwordFile, 'second\n');
    await server.client.call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes');
    await answers(redis);
    expect(log.text()).not.toMatch(/first|second/);
  });

  test('is made as a user of its own', async () => {
    const server = stack.use(await startRedis({ exclusive: true }));
    await server.client.call(
      'ACL',
      'SETUSER',
      'pdp',
      'on',
      '>secret',
      '~x',
      '+get',
      '+hello',
      '+info',
      '+client',
    );
    const passwordFile = join(folder, 'password');
    await writeFile(passwordFile, 'secret');
    const redis = await connect({ url: server.url, username: 'pdp', passwordFile });
    await answers(redis);
    await expect(redis.get('other')).rejects.toThrow(/NOPERM/);
  });

  test('is over TLS with a certificate of ours, to a server of known authorities, and to no other', async () => {
    const ca = stack.use(await createTestCa('redis.test'));
    const other = stack.use(await createTestCa('other.test'));
    const leaf = await ca.issue({ spiffeId: 'spiffe://redis.test/redis', dns: ['localhost'] });
    const port = await freePort();
    const flags = [
      '--tls-port',
      String(port),
      '--tls-auth-clients',
      'yes',
      '--tls-ca-cert-file',
      ca.bundleFile,
    ];
    flags.push('--tls-cert-file', leaf.certFile, '--tls-key-file', leaf.keyFile);
    stack.use(await startRedis({ exclusive: true, flags }));
    const server = { url: `rediss://localhost:${port}`, certFile: leaf.certFile, keyFile: leaf.keyFile };
    await answers(await connect({ ...server, caFile: ca.bundleFile }));
    const mistaken = await connect({ ...server, caFile: other.bundleFile });
    await expect(mistaken.get('x')).rejects.toThrow();
    const nameless = await connect({ url: server.url, caFile: ca.bundleFile });
    await expect(nameless.get('x')).rejects.toThrow();
  });

  test('does not send twice what a lost connection has left open', async () => {
    const server = stack.use(await startRedis({ exclusive: true }));
    const redis = await connect({ url: server.url });
    server.pause();
    const asked = redis.incr('count');
    redis.disconnect(true);
    await expect(asked).rejects.toThrow();
    server.resume();
    await answers(redis);
    expect(Number((await server.client.get('count')) ?? 0)).toBeLessThanOrEqual(1);
  });

  test('comes back after a failover, whatever it was about when sentinels told of it', async () => {
    const topology = stack.use(await startSentinel());
    const sentinel = { urls: topology.urls, master: SENTINEL_MASTER };
    const connections = await Promise.all(Array.from({ length: 100 }, () => connect({ sentinel })));
    await topology.servers[0]?.stop();
    await eventually(
      'the loss is noticed',
      () => connections.every(({ status }) => status !== 'ready') || undefined,
    );
    await Promise.all(connections.map((redis) => answers(redis)));
  });

  test('to a cluster is there for all of it at once', async () => {
    const cluster = stack.use(await startCluster());
    const redis = await connect({ cluster: { urls: cluster.urls.slice(0, 1) } });
    await Promise.all(Array.from({ length: 100 }, (_, index) => redis.set(`key-${index}`, index)));
    expect(await redis.get('key-42')).toBe('42');
  });

  test('has no word of a password in what it says of a server that repeats what it was asked', async () => {
    const server = createServer((socket) =>
      socket
        .on('error', () => undefined)
        .on('data', (data) => {
          const words = data
            .toString()
            .split('\r\n')
            .filter((word) => /^[^*$]/.test(word));
          socket.write(
            `-ERR unknown command '${words[0]}', with args beginning with: ${words.slice(1).join(' ')}\r\n`,
          );
        }),
    );
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    stack.defer(() => void server.close());
    const url = `redis://:pass-word@127.0.0.1:${(server.address() as AddressInfo).port}`;
    const redis = await connect({ url });
    await eventually('it is said', () => (log.entries.length > 0 ? true : undefined));
    expect(log.text()).not.toContain('pass-word');
    const error: unknown = await redis.get('x').catch((thrown: unknown) => thrown);
    expect(redisProblem(error)).not.toContain('pass-word');
    redis.disconnect();
  });

  test('says in our words that it was lost, or that the server was too slow', async () => {
    const server = stack.use(await startRedis({ exclusive: true }));
    const problemOf = (pending: Promise<unknown>): Promise<string> =>
      pending.then(() => 'none', redisProblem);
    const lost = await connect({ url: server.url });
    await answers(lost);
    const waiting = problemOf(lost.blpop('nothing', 0));
    await server.client.call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes');
    expect(await waiting).toBe('the connection was lost');
    const slow = await connectRedis({ name: 'slow', log, url: server.url, silenceMs: 200 });
    stack.defer(() => slow.disconnect());
    await answers(slow);
    expect(['did not answer in time', 'the connection was lost']).toContain(
      await problemOf(slow.blpop('nothing', 0)),
    );
    expect(redisProblem(new Error('Command timed out'))).toBe('did not answer in time');
  });

  test.each<[string, RedisServer, RegExp]>([
    ['nowhere', {}, /url: give one of/],
    ['in two places', { url: 'redis://a', cluster: { urls: ['redis://b'] } }, /url: give one of/],
    ['at no sentinel', { sentinel: { urls: [], master: 'm' } }, /sentinel\.urls: names no server/],
    ['half over TLS', { cluster: { urls: ['redis://a', 'rediss://b'] } }, /cluster\.urls: are partly/],
    ['in a database of a cluster', { cluster: { urls: ['redis://a/1'] } }, /name a database/],
    [
      'behind a file that is not there',
      { url: 'rediss://a', caFile: '/none' },
      /caFile: the file does not exist/,
    ],
  ])('%s is refused', async (_what, server, problem) => {
    await expect(connect(server)).rejects.toThrow(problem);
  });
});
