import { randomUUID } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { SharedEntry, SharedState } from '../../../src/pdp/shared-state.ts';
import { PUT, entryText, stateKeys } from '../../../src/pip/shared/redis-script.ts';
import { type RedisStateOptions, openRedisState } from '../../../src/pip/shared/redis-state.ts';
import { ReplicatedEntries } from '../../../src/pip/shared/replicated-entries.ts';
import { MACHINE_CLOCK } from '../../support/clock.ts';
import { eventually } from '../../support/eventually.ts';
import { freePort } from '../../support/free-port.ts';
import { findRedisServer } from '../../support/parts.ts';
import { type TestRedis, startRedis } from '../../support/redis.ts';
import { type MemoryLog, memoryLog } from '../../unit/pip/fixture.ts';
import { entries, entryOf as entryAtStart } from '../../unit/pip/shared/fixture.ts';

type State = SharedState & { readonly size: number };

let shared: TestRedis;
let keyPrefix: string;
let log: MemoryLog;
const open: AsyncDisposable[] = [];

function entryOf(parts: Partial<SharedEntry> = {}): SharedEntry {
  return entryAtStart({ at: Date.now(), ...parts });
}

async function replica(redis: TestRedis = shared, options: Partial<RedisStateOptions> = {}): Promise<State> {
  const state = await openRedisState({
    url: redis.url,
    keyPrefix,
    clock: MACHINE_CLOCK,
    log,
    maxEntries: 1_000,
    durability: 'written',
    timeoutMs: 1_000,
    heartbeatMs: 100,
    restoreSpreadMs: 100,
    ...options,
  });
  open.push(state);
  return state;
}

async function own(port?: number): Promise<TestRedis> {
  const redis = await startRedis({ exclusive: true, ...(port !== undefined && { port }) });
  open.push(redis);
  return redis;
}

/** Breaks every connection to the server but our own. */
async function cutConnections(redis: TestRedis): Promise<void> {
  await redis.client.call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes');
}

async function until(what: string, holds: () => boolean): Promise<void> {
  await eventually(what, () => (holds() ? true : undefined));
}

/** The two connections of a replica come back one by one. */
async function untilPut(state: SharedState, entry: SharedEntry): Promise<void> {
  await eventually('the put is taken', () =>
    state.put([entry]).then(
      () => true,
      () => undefined,
    ),
  );
}

function keysOf(state: SharedState): readonly string[] {
  return state
    .list('void|')
    .map(({ key }) => key)
    .sort();
}

describe.skipIf(findRedisServer() === undefined)('the shared state in a real Redis', () => {
  beforeAll(async () => {
    shared = await startRedis();
  });
  afterAll(() => shared[Symbol.asyncDispose]());
  beforeEach(() => {
    keyPrefix = `{test:${randomUUID()}}:`;
    log = memoryLog();
  });
  afterEach(async () => {
    for (const part of open.splice(0).reverse()) await part[Symbol.asyncDispose]();
  });

  describe('of three replicas', () => {
    test('tells each of what any of them puts', async () => {
      const replicas = [await replica(), await replica(), await replica()];
      for (const [index, state] of replicas.entries())
        await state.put([entryOf({ key: `void|${index}`, value: { by: index, name: 'é\u{1F600}' } })]);
      for (const state of replicas)
        await until('all puts are here', () => keysOf(state).length === 3 && state.lagMs() === 0);
      expect(replicas[2]?.get('void|0')).toMatchObject({ value: { by: 0, name: 'é\u{1F600}' } });
    });

    test('gives all of it to one that comes later', async () => {
      const first = await replica();
      const all = Array.from({ length: 450 }, (_, index) =>
        entryOf({ key: `void|${index}`, expiresAt: Date.now() + 60_000 }),
      );
      await first.put(all);
      const late = await replica();
      expect(keysOf(late)).toEqual(all.map(({ key }) => key).sort());
      expect(late.lagMs()).toBe(0);
    });

    test('tells listeners of each change once, whoever made it', async () => {
      const [one, two] = [await replica(), await replica()];
      const told: string[] = [];
      for (const [name, state] of Object.entries({ one, two }))
        state.onChange(({ key }) => void told.push(`${name} ${key}`));
      await one.put([entryOf({ key: 'void|a' })]);
      await two.put([entryOf({ key: 'void|b' })]);
      await until('all were told', () => told.length === 4);
      await one.put([entryOf({ key: 'void|c' })]);
      await until('the last was told', () => told.length === 6);
      expect([...told].sort()).toEqual([
        'one void|a',
        'one void|b',
        'one void|c',
        'two void|a',
        'two void|b',
        'two void|c',
      ]);
    });

    test('ends in one state where they put different things under one key at the same time', async () => {
      const replicas = [await replica(), await replica(), await replica()];
      const at = Date.now();
      await Promise.all(
        replicas.flatMap((state, index) =>
          Array.from({ length: 20 }, (_, round) =>
            state.put([entryOf({ key: `void|${round}`, at: at + ((round + index) % 3), value: index })]),
          ),
        ),
      );
      const stateOf = (state: SharedState) =>
        JSON.stringify([...state.list('void|')].sort((a, b) => (a.key < b.key ? -1 : 1)));
      const [one, two, three] = replicas;
      if (!one || !two || !three) throw new Error('three were opened');
      await until('they agree', () => stateOf(one) === stateOf(two) && stateOf(two) === stateOf(three));
      for (const { at: won } of one.list('void|')) expect(won).toBe(at + 2);
    });
  });

  test('decides in Redis which of two entries stays as it is decided here', async () => {
    const keys = stateKeys(keyPrefix);
    await fc.assert(
      fc.asyncProperty(fc.array(entries(), { minLength: 1, maxLength: 10 }), async (given) => {
        await shared.client.del(keys.entries, keys.log, keys.expiries);
        // Those of the fixture expire in what is the past of the server, where they would all be dropped.
        const list = given.map((entry) =>
          entry.expiresAt === undefined ? entry : { ...entry, expiresAt: entry.expiresAt + 10 ** 12 },
        );
        const here = new ReplicatedEntries({ clock: MACHINE_CLOCK, log, maxEntries: 100 });
        for (const half of [list.slice(0, 5), list.slice(5)]) {
          here.merge(half);
          const pairs = half.flatMap((entry) => [entry.key, entryText(entry)]);
          await shared.client.eval(PUT, 3, keys.entries, keys.log, keys.expiries, 100, 100, 'g', ...pairs);
        }
        const { generation: _, ...there } = await shared.client.hgetall(keys.entries);
        expect(there).toEqual(
          Object.fromEntries([...here.all()].map((entry) => [entry.key, entryText(entry)])),
        );
      }),
      { numRuns: 300 },
    );
  });

  describe('that loses its connections', () => {
    test('catches up with what was put meanwhile', async () => {
      const [one, two] = [await replica(), await replica()];
      await one.put([entryOf({ key: 'void|a' })]);
      await until('two has it', () => keysOf(two).length === 1);
      await cutConnections(shared);
      const keys = stateKeys(keyPrefix);
      const missed = entryOf({ key: 'void|b' });
      await shared.client.eval(
        PUT,
        3,
        keys.entries,
        keys.log,
        keys.expiries,
        100,
        100,
        'g',
        missed.key,
        entryText(missed),
      );
      for (const state of [one, two])
        await until('it is here', () => keysOf(state).length === 2 && state.lagMs() === 0);
      expect(log.text()).not.toContain('older');
    });

    test('reads everything where the log was trimmed meanwhile', async () => {
      const causes: string[] = [];
      const one = await replica(shared, { onResync: (cause) => void causes.push(cause) });
      await one.put([entryOf({ key: 'void|a' })]);
      const keys = stateKeys(keyPrefix);
      await cutConnections(shared);
      for (const name of ['b', 'c', 'd']) {
        const entry = entryOf({ key: `void|${name}` });
        await shared.client.eval(
          PUT,
          3,
          keys.entries,
          keys.log,
          keys.expiries,
          100,
          100,
          'g',
          entry.key,
          entryText(entry),
        );
      }
      await shared.client.xtrim(keys.log, 'MAXLEN', 1);
      await until('all is here', () => keysOf(one).length === 4);
      expect(causes).toEqual(['start', 'trimmed']);
    });
  });

  describe('in a Redis that loses data', () => {
    test('puts back what the replicas still know when it has come back empty', async () => {
      const redis = await own();
      const replicas = [await replica(redis), await replica(redis), await replica(redis)];
      await replicas[0]?.put(Array.from({ length: 450 }, (_, index) => entryOf({ key: `void|${index}` })));
      await until('all have it', () => replicas.every((state) => state.size === 450));
      await redis.stop();
      await until('all have noticed', () => replicas.every((state) => state.lagMs() > 0));
      await expect(replicas[1]?.put([entryOf({ key: 'void|x' })])).rejects.toMatchObject({
        reason: 'state_unavailable',
      });
      const again = await own(redis.port);
      const { entries: hash } = stateKeys(keyPrefix);
      await eventually('Redis has it again', async () =>
        (await again.client.hlen(hash)) === 451 ? true : undefined,
      );
      expect(keysOf(await replica(again))).toHaveLength(450);
      await until('all are current', () => replicas.every((state) => state.lagMs() === 0));
    });

    test('puts back what was lost while the connection lasted', async () => {
      const redis = await own();
      const causes: string[] = [];
      const one = await replica(redis, { onResync: (cause) => void causes.push(cause) });
      await one.put([entryOf({ key: 'void|a' })]);
      await redis.client.flushall();
      await eventually('Redis has it again', async () =>
        (await redis.client.hexists(stateKeys(keyPrefix).entries, 'void|a')) === 1 ? true : undefined,
      );
      expect(causes).toEqual(['start', 'forgotten']);
    });

    test('puts back what is newer than an older copy of the data', async () => {
      const redis = await own();
      const keys = stateKeys(keyPrefix);
      const causes: string[] = [];
      const one = await replica(redis, { onResync: (cause) => void causes.push(cause) });
      await one.put([entryOf({ key: 'void|a' })]);
      const copies = await Promise.all(
        Object.values(keys).map((key: string) => redis.client.dumpBuffer(key)),
      );
      await one.put([
        entryOf({ key: 'void|b' }),
        entryOf({ key: 'void|a', at: Date.now() + 1, value: 'newer' }),
      ]);
      for (const [index, key] of Object.values(keys).entries()) {
        const copy = copies[index];
        if (copy) await redis.client.restore(String(key), 0, copy, 'REPLACE');
      }
      await eventually('Redis has it again', async () =>
        (await redis.client.hget(keys.entries, 'void|a'))?.includes('newer') ? true : undefined,
      );
      expect(await redis.client.hexists(keys.entries, 'void|b')).toBe(1);
      expect(causes).toEqual(['start', 'older']);
    });
  });

  describe('in a Redis that is not there', () => {
    test('opens empty and lags, and is there when Redis is', async () => {
      const port = await freePort();
      const state = await replica({ ...shared, url: `redis://127.0.0.1:${port}` });
      expect(state.list('void|')).toEqual([]);
      expect(state.lagMs()).toBe(Number.POSITIVE_INFINITY);
      await expect(state.put([entryOf()])).rejects.toMatchObject({
        name: 'PdpError',
        reason: 'state_unavailable',
      });
      expect(state.get(entryOf().key)).toBeUndefined();
      await own(port);
      await until('it is current', () => state.lagMs() === 0);
      await untilPut(state, entryOf());
      expect(state.get(entryOf().key)).toBeDefined();
    });

    test('says by its lag, with no error from anywhere, that a Redis has gone silent, and refuses puts in time', async () => {
      const redis = await own();
      const state = await replica(redis, { timeoutMs: 200 });
      await state.put([entryOf({ key: 'void|a' })]);
      redis.pause();
      const from = performance.now();
      await until('it lags', () => state.lagMs() > 0);
      expect(performance.now() - from).toBeLessThan(2_000);
      const before = performance.now();
      await expect(state.put([entryOf({ key: 'void|b' })])).rejects.toThrow(/Redis/);
      expect(performance.now() - before).toBeLessThan(1_000);
      expect(keysOf(state)).toEqual(['void|a']);
      redis.resume();
      await until('it is current', () => state.lagMs() === 0);
      await untilPut(state, entryOf({ key: 'void|b' }));
      expect(keysOf(state)).toContain('void|b');
    });
  });

  test('needs no more rights than the documentation says', async () => {
    const page = await readFile(new URL('../../../docs/shared-state.md', import.meta.url), 'utf8');
    const [, command = ''] = /^ACL SETUSER (.*?)^```/ms.exec(page) ?? [];
    const [name = '', ...rules] = command
      .split(/\s+/)
      .filter((rule) => !['', '>...', '+waitaof'].includes(rule));
    const redis = await own();
    await redis.client.call('ACL', 'SETUSER', name, '>secret', ...rules);
    const folder = await mkdtemp(join(tmpdir(), 'pdp-acl-'));
    open.push({ [Symbol.asyncDispose]: () => rm(folder, { recursive: true }) });
    const passwordFile = join(folder, 'password');
    await writeFile(passwordFile, 'secret');
    const settings = { username: name, passwordFile, keyPrefix: '{pdp:state}:' };
    const one = await replica(redis, settings);
    const other = await replica(redis, settings);
    await one.put([entryOf({ key: 'void|a' }), entryOf({ key: 'void|b', expiresAt: Date.now() + 60_000 })]);
    await until('the other has both', () => keysOf(other).length === 2);
    await redis.client.flushall();
    await until('it was given back', () => log.text().includes('given back what it had lost'));
    expect(keysOf(await replica(redis, settings))).toEqual(['void|a', 'void|b']);
    expect(log.text()).not.toMatch(/can't run|NOPERM/);
  });

  test('an entry that somebody else has put there does not count, and is told with its key', async () => {
    const one = await replica();
    await one.put([entryOf({ key: 'void|a' })]);
    const { entries: hash } = stateKeys(keyPrefix);
    await shared.client.hset(
      hash,
      'void|huge',
      `[0,1,null,"${'x'.repeat(100_000)}"]`,
      'void|\u001b[31m',
      '{',
    );
    const other = await replica();
    expect(keysOf(other)).toEqual(['void|a']);
    expect(log.text()).toMatch(/'void\|(huge|\?\[31m)'/);
  });

  describe('has bounds:', () => {
    test('entries beyond max_entries are refused whole, and replacing goes on', async () => {
      const one = await replica(shared, { maxEntries: 2 });
      await one.put([entryOf({ key: 'void|a' })]);
      const two = one.put([entryOf({ key: 'void|b' }), entryOf({ key: 'void|c' })]);
      await expect(two).rejects.toThrow(/max_entries: 2/);
      await one.put([
        entryOf({ key: 'void|a', at: Date.now() + 1, value: 'again' }),
        entryOf({ key: 'void|b' }),
      ]);
      expect(keysOf(one)).toEqual(['void|a', 'void|b']);
    });

    test('the last tenth of the room is for what takes access away', async () => {
      const one = await replica(shared, { maxEntries: 20 });
      await one.put(Array.from({ length: 18 }, (_, index) => entryOf({ key: `seen|${index}` })));
      await expect(one.put([entryOf({ key: 'seen|more' })])).rejects.toThrow(/max_entries: 20, a tenth/);
      await one.put([entryOf({ key: 'void|a' }), entryOf({ key: 'void|b' })], { restricts: true });
      await expect(one.put([entryOf({ key: 'void|c' })], { restricts: true })).rejects.toThrow(
        /max_entries: 20\)/,
      );
      expect(keysOf(one)).toEqual(['void|a', 'void|b']);
    });

    test.each([
      ['out of memory', 'maxmemory', '1', '0', /OOM/],
      ['without enough replicas', 'min-replicas-to-write', '1', '0', /NOREPLICAS/],
    ])('a Redis that is %s refuses changes, and is read on', async (_, setting, on, off, words) => {
      const redis = await own();
      const one = await replica(redis);
      const entry = entryOf({ key: 'void|a' });
      await one.put([entry]);
      await redis.client.config('SET', setting, on);
      const since = Date.now();
      await expect(one.put([entryOf({ key: 'void|b' })])).rejects.toThrow(words);
      // Longer than it goes without a look at whether Redis still is what it was, and than two heartbeats.
      await until('it has looked', () => Date.now() - since > 1_600);
      await until('it is current', () => one.lagMs() === 0);
      const other = await replica(redis);
      expect(keysOf(other)).toEqual(['void|a']);
      await redis.client.config('SET', setting, off);
      await untilPut(one, entryOf({ key: 'void|b' }));
      await until('the other replica has it', () => other.get('void|b') !== undefined);
    });

    test('what has expired makes room in a Redis that is out of memory', async () => {
      const redis = await own();
      const one = await replica(redis);
      const expiresAt = Date.now() + 200;
      await one.put([entryOf({ key: 'void|a', expiresAt })]);
      await redis.client.config('SET', 'maxmemory', '1');
      await until('it has expired', () => Date.now() > expiresAt);
      await one.put([entryOf({ key: 'void|b' })]);
      expect(keysOf(one)).toEqual(['void|b']);
    });

    test('a Redis that has become a replica counts as lost, for it may be one of nobody', async () => {
      const redis = await own();
      const one = await replica(redis);
      await one.put([entryOf({ key: 'void|a' })]);
      await redis.client.replicaof('127.0.0.1', await freePort());
      await until('the lag shows', () => one.lagMs() > 1_000);
      await redis.client.replicaof('NO', 'ONE');
      await until('the lag is gone', () => one.lagMs() === 0);
      expect(keysOf(one)).toEqual(['void|a']);
    });

    test('what has expired takes no room', async () => {
      const one = await replica(shared, { maxEntries: 500 });
      const expiresAt = Date.now() + 100;
      const many = Array.from({ length: 500 }, (_, index) => entryOf({ key: `void|${index}`, expiresAt }));
      await one.put(many, { restricts: true });
      await until('all have expired', () => one.list('void|').length === 0 && Date.now() > expiresAt + 5);
      const more = Array.from({ length: 500 }, (_, index) => entryOf({ key: `grant|${index}` }));
      await one.put(more, { restricts: true });
      expect(one.list('grant|')).toHaveLength(500);
    });

    test('the log keeps what is newest, and entries go when they have expired', async () => {
      const one = await replica(shared, { maxLog: 100 });
      const keys = stateKeys(keyPrefix);
      for (let round = 0; round < 20; round += 1)
        await Promise.all(
          Array.from({ length: 50 }, (_, index) =>
            one.put([entryOf({ key: `void|${round}.${index}`, expiresAt: Date.now() + 50 })]),
          ),
        );
      await until('all have expired', () => keysOf(one).length === 0);
      // Each put forgets some of what has expired, here and there.
      await eventually('what has expired is gone', async () => {
        await one.put([entryOf({ key: 'void|last' })]);
        const left = await shared.client.hlen(keys.entries);
        return left === 2 && one.size === 1 ? true : undefined;
      });
      expect(await shared.client.zcard(keys.expiries)).toBe(0);
      expect(await shared.client.xlen(keys.log)).toBeLessThan(300);
    });
  });

  test('refuses to be synced by a server that cannot say so', async () => {
    const one = await replica(shared, { durability: 'synced' });
    await expect(one.put([entryOf()])).rejects.toThrow(/does not know WAITAOF|appendonly is disabled/);
  });

  test('goes on past an entry that somebody else has broken, and says so', async () => {
    const keys = stateKeys(keyPrefix);
    await shared.client.hset(keys.entries, { 'void|bad': '[0,1,null,{"__entity":1}]', 'void|worse': 'x' });
    const one = await replica();
    await one.put([entryOf({ key: 'void|a' }), entryOf({ key: 'void|worse' })]);
    expect(keysOf(one)).toEqual(['void|a', 'void|worse']);
    expect(log.text()).toContain('it does not count');
  });
});
