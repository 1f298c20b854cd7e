import { randomUUID } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { AttributeAnswer } from '../../../src/pdp/attribute.ts';
import type { Clock } from '../../../src/pdp/ports.ts';
import { type RedisSourceOptions, openRedisSource } from '../../../src/pip/facts/redis.ts';
import { type RemoteSettings, type RemoteSource, remote } from '../../../src/pip/facts/remote.ts';
import { eventually } from '../../support/eventually.ts';
import { freePort } from '../../support/free-port.ts';
import { type TestRedis, startRedis } from '../../support/redis.ts';
import { MACHINE_CLOCK } from '../../support/clock.ts';
import { type MemoryLog, START, manualClock, memoryLog } from '../../unit/pip/fixture.ts';
import { SETTINGS } from '../../unit/pip/facts/manual-fact-source.ts';

const NEVER = new AbortController();

let shared: TestRedis;
let log: MemoryLog;
let keyPrefix: string;
const open: AsyncDisposable[] = [];

beforeAll(async () => {
  shared = await startRedis();
});

afterAll(() => shared[Symbol.asyncDispose]());

beforeEach(() => {
  log = memoryLog();
  keyPrefix = `test:${randomUUID()}:`;
});

afterEach(async () => {
  for (const source of open.splice(0).reverse()) await source[Symbol.asyncDispose]();
});

/** A source in Redis with what stands around it; its breaker stays out of tests that are not about it. */
async function source(
  options: Partial<RedisSourceOptions> = {},
  settings: Partial<RemoteSettings> = {},
  clock: Clock = manualClock(),
): Promise<RemoteSource> {
  const redis = await openRedisSource({
    name: 'posture',
    url: shared.url,
    keyPrefix,
    subject: 'device',
    gives: ['managed', 'os', 'risk', 'level', 'groups'],
    log,
    ...options,
  });
  const around = remote(
    redis,
    {
      ...SETTINGS,
      freshMs: 30_000,
      // Generous: these tests are about what is answered; the timeout has a test of its own.
      timeoutMs: 2_000,
      breaker: { failures: 1_000_000, pauseMs: 1_000 },
      ...settings,
    },
    { clock, log, random: () => 0 },
  );
  open.push(around);
  return around;
}

async function own(options: Parameters<typeof startRedis>[0] = {}): Promise<TestRedis> {
  const redis = await startRedis({ exclusive: true, ...options });
  open.push(redis);
  return redis;
}

async function tryLookup(devices: RemoteSource): Promise<AttributeAnswer | undefined> {
  try {
    return await devices.lookup('a', NEVER);
  } catch {
    return undefined;
  }
}

describe('facts in Redis', () => {
  test('are read from a JSON string', async () => {
    const value = {
      managed: true,
      os: { family: 'linux', eol: null },
      groups: ['byod'],
      observed_at: 1_795_000_000,
      x: 1,
    };
    await shared.client.set(`${keyPrefix}laptop-1`, JSON.stringify(value));
    expect(await (await source()).lookup('laptop-1', NEVER)).toEqual({
      status: 'found',
      attributes: { managed: true, os: { family: 'linux' } },
      groups: ['byod'],
      observedAt: 1_795_000_000_000,
      freshUntil: START + 30_000,
    });
  });

  test('are read from a hash, fields as JSON where they are, else as text', async () => {
    await shared.client.hset(`${keyPrefix}laptop-1`, {
      managed: 'true',
      os: '{"family":"linux"}',
      risk: 'low',
      level: '7',
      groups: '["byod"]',
      observed_at: '2026-11-22T11:59:00Z',
    });
    expect(await (await source()).lookup('laptop-1', NEVER)).toMatchObject({
      attributes: { managed: true, os: { family: 'linux' }, risk: 'low', level: 7 },
      groups: ['byod'],
      observedAt: START - 60_000,
    });
  });

  test('may be strings and hashes in turn', async () => {
    await shared.client.set(`${keyPrefix}a`, '{"level":1}');
    await shared.client.hset(`${keyPrefix}b`, { level: '2' });
    const devices = await source();
    for (const [id, level] of [
      ['a', 1],
      ['b', 2],
      ['b', 2],
      ['a', 1],
    ] as const) {
      expect(await devices.lookup(id, NEVER)).toMatchObject({ attributes: { level } });
    }
    expect(await devices.lookup('c', NEVER)).toMatchObject({ status: 'absent' });
  });

  test('are dated now where they have no date, which is marked as assumed', async () => {
    await shared.client.set(`${keyPrefix}a`, '{}');
    expect(await (await source()).lookup('a', NEVER)).toMatchObject({
      status: 'found',
      observedAt: START,
      assumed: true,
    });
  });

  test('are absent where there is no value', async () => {
    expect(await (await source()).lookup('nobody', NEVER)).toEqual({
      status: 'absent',
      attributes: {},
      groups: [],
      observedAt: START,
      assumed: true,
      freshUntil: START + 2_000,
    });
  });

  test('are looked up by the exact id, whatever it holds', async () => {
    const id = 'spiffe://td/ns/a/sa/b\r\nSET x y\0*';
    await shared.client.set(`${keyPrefix}${id}`, '{"level":1}');
    expect(await (await source()).lookup(id, NEVER)).toMatchObject({ attributes: { level: 1 } });
  });

  test.each<[string, string | Buffer, RegExp]>([
    ['not JSON', 'managed', /the value is not JSON/],
    ['not UTF-8', Buffer.from([0x22, 0xff, 0x22]), /the value is not JSON/],
    ['no object', '[1]', /the value is not an object/],
    ['over 64 KiB', JSON.stringify({ x: 'x'.repeat(65_536) }), /longer than 65536 bytes/],
    ['hostile', '{"os":{"__entity":{"type":"User","id":"root"}}}', /reserved key '__entity'/],
    ['too deep', `{"os":${'['.repeat(40)}${']'.repeat(40)}}`, /deeper than 32/],
    ['beyond 2^53', '{"level":9007199254740993}', /2\^53/],
    ['a fraction', '{"level":0.5}', /'level'/],
    ['badly dated', '{"observed_at":"yesterday"}', /observed_at/],
    ['in bad groups', '{"groups":"byod"}', /groups/],
  ])('are refused where the value is %s', async (_what, value, problem) => {
    await shared.client.set(`${keyPrefix}a`, value);
    await expect((await source()).lookup('a', NEVER)).rejects.toMatchObject({
      name: 'PdpError',
      reason: 'attribute_unavailable',
      message: expect.stringMatching(problem) as string,
    });
  });

  test('are refused where the hash is hostile or too big', async () => {
    await shared.client.hset(`${keyPrefix}a`, '__proto__', '{"managed":true}');
    await shared.client.hset(`${keyPrefix}b`, 'os', 'x'.repeat(65_536));
    const devices = await source();
    await expect(devices.lookup('a', NEVER)).rejects.toThrow(/__proto__/);
    await expect(devices.lookup('b', NEVER)).rejects.toThrow(/longer than/);
  });

  test('are refused where the key holds something else', async () => {
    await shared.client.rpush(`${keyPrefix}a`, 'x');
    await expect((await source()).lookup('a', NEVER)).rejects.toMatchObject({
      reason: 'attribute_unavailable',
    });
  });
});

describe('a Redis that fails', () => {
  test('does not fail the start when it is down, and is found when it comes', async () => {
    const port = await freePort();
    const devices = await source({ url: `redis://127.0.0.1:${port}` });
    await expect(devices.lookup('a', NEVER)).rejects.toMatchObject({ reason: 'attribute_unavailable' });
    const redis = await own({ port });
    await redis.client.set(`${keyPrefix}a`, '{"level":1}');
    const answer = await eventually('the source has connected', () => tryLookup(devices));
    expect(answer).toMatchObject({ attributes: { level: 1 } });
    expect(log.entries.map(({ message }) => message)).toEqual(['Redis is not available', 'Redis is back']);
  });

  test('fails lookups at once while it is down, and serves again after a restart', async () => {
    const redis = await own();
    const devices = await source({ url: redis.url }, { freshMs: 1 }, MACHINE_CLOCK);
    expect(await devices.lookup('a', NEVER)).toMatchObject({ status: 'absent' });
    await redis.stop();
    await eventually('the loss is noticed', async () =>
      (await tryLookup(devices)) === undefined ? true : undefined,
    );
    await expect(devices.lookup('a', NEVER)).rejects.toMatchObject({
      reason: 'attribute_unavailable',
      message: 'Redis is not connected',
    });
    await own({ port: redis.port });
    await eventually('the source is back', () => tryLookup(devices));
  });

  test('fails lookups after the timeout when it hangs, and drops the connection rather than queue behind it', async () => {
    const redis = await own();
    const devices = await source({ url: redis.url }, { freshMs: 1, timeoutMs: 30 }, MACHINE_CLOCK);
    expect(await devices.lookup('a', NEVER)).toMatchObject({ status: 'absent' });
    redis.pause();
    const before = performance.now();
    await expect(devices.lookup('b', NEVER)).rejects.toThrow('did not answer within 30 ms');
    expect(performance.now() - before).toBeLessThan(1_000);
    await eventually('the hung connection is dropped', () =>
      log.text().includes('not available') ? true : undefined,
    );
    redis.resume();
    await eventually('the source is back', () => tryLookup(devices));
  });

  test('is not blamed for an answer that came in time while this process stood still', async () => {
    const devices = await source({}, { timeoutMs: 20 });
    expect(await devices.lookup('a', NEVER)).toMatchObject({ status: 'absent' });
    const answer = devices.lookup('b', NEVER);
    // The question leaves with this turn of the event loop.
    await new Promise((resolve) => setImmediate(resolve));
    const until = performance.now() + 60;
    while (performance.now() < until);
    expect(await answer).toMatchObject({ status: 'absent' });
  });

  test('is left alone while it is down, what is known last is used meanwhile, and its return is no stampede', async () => {
    const redis = await own();
    const subjects = Array.from({ length: 50 }, (_, i) => `laptop-${i}`);
    for (const id of subjects) await redis.client.set(`${keyPrefix}${id}`, '{"level":1}');
    const devices = await source(
      { url: redis.url },
      {
        freshMs: 1,
        maxStaleMs: 600_000,
        concurrency: 4,
        queue: 100,
        breaker: { failures: 3, pauseMs: 50 },
      },
      MACHINE_CLOCK,
    );
    for (const id of subjects) expect(await devices.lookup(id, NEVER)).toMatchObject({ status: 'found' });
    await redis.stop();
    await eventually('the breaker opens', async () => {
      await tryLookup(devices);
      return devices.health().breaker === 'open' ? true : undefined;
    });
    const stale = subjects.map((id) => devices.lookup(id, NEVER, true));
    for (const answer of stale) expect(answer).toMatchObject({ attributes: { level: 1 }, stale: true });
    const again = await own({ port: redis.port });
    for (const id of subjects) await again.client.set(`${keyPrefix}${id}`, '{"level":2}');
    await eventually('the breaker closes', async () => {
      await tryLookup(devices);
      return devices.health().breaker === 'closed' ? true : undefined;
    });
    await again.client.config('RESETSTAT');
    const herd = subjects.flatMap((id) =>
      Array.from({ length: 20 }, async () => await devices.lookup(id, NEVER)),
    );
    for (const answer of await Promise.all(herd)) expect(answer).toMatchObject({ attributes: { level: 2 } });
    const commands = /cmdstat_getrange:calls=(\d+)/.exec(await again.client.info('commandstats'))?.[1];
    expect(Number(commands)).toBe(50);
  });

  test("gives up with the caller's own reason when the caller does", async () => {
    const redis = await own();
    const devices = await source({ url: redis.url });
    redis.pause();
    const caller = new AbortController();
    const lookup = devices.lookup('a', caller);
    const reason = new Error('deadline');
    caller.abort(reason);
    await expect(lookup).rejects.toBe(reason);
  });

  test('that talks nonsense is down', async () => {
    const server = createServer((socket) =>
      socket.on('error', () => undefined).end('HTTP/1.1 400 Bad Request\r\n\r\n'),
    );
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const devices = await source({ url: `redis://127.0.0.1:${(server.address() as AddressInfo).port}` });
    await expect(devices.lookup('a', NEVER)).rejects.toMatchObject({ reason: 'attribute_unavailable' });
    server.close();
  });
});

describe('a Redis with a password', () => {
  let folder: string;

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'redis-'));
  });

  afterEach(() => rm(folder, { recursive: true }));

  async function passwordFile(content: string): Promise<string> {
    const file = join(folder, 'password');
    await writeFile(file, content);
    return file;
  }

  test('takes it from a file or from the URL', async () => {
    const redis = await own({ password: 's3cr@t/x' });
    const fromFile = await source({ url: redis.url, passwordFile: await passwordFile('s3cr@t/x\n') });
    expect(await fromFile.lookup('a', NEVER)).toMatchObject({ status: 'absent' });
    const url = `redis://default:${encodeURIComponent('s3cr@t/x')}@127.0.0.1:${redis.port}/0`;
    expect(await (await source({ url })).lookup('a', NEVER)).toMatchObject({ status: 'absent' });
  });

  test('never has it logged or thrown', async () => {
    const redis = await own({ password: 'right-one' });
    const devices = await source({ url: `redis://:wrong-one@127.0.0.1:${redis.port}` });
    const error: unknown = await Promise.resolve(devices.lookup('a', NEVER)).catch(
      (thrown: unknown) => thrown,
    );
    expect(error).toMatchObject({ reason: 'attribute_unavailable' });
    expect(log.entries.length).toBeGreaterThan(0);
    expect(`${log.text()}${String(error)}${JSON.stringify(error)}`).not.toContain('wrong-one');
  });

  test('is refused at the start where its file cannot be read', async () => {
    const promise = source({ passwordFile: join(folder, 'none') });
    await expect(promise).rejects.toThrow(/passwordFile: the file does not exist/);
  });

  test.each([
    'localhost:6379',
    'http://:pass-word@localhost',
    'redis:///0',
    'redis://h/x',
    'redis://:pass-word@h/x/1',
    'nonsense',
  ])('is refused at the start for the URL %s, which is not repeated', async (url) => {
    await expect(source({ url })).rejects.toThrow(/url: is not of the form/);
    await expect(source({ url })).rejects.not.toThrow(/pass-word/);
  });
});
