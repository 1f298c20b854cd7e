import { randomUUID } from 'node:crypto';
import { afterEach, describe, expect, test } from 'vitest';
import type { SharedState } from '../../../src/pdp/shared-state.ts';
import { openRedisReplayStore } from '../../../src/pip/dpop/replay-store-redis.ts';
import type { RedisServer } from '../../../src/pip/redis/server.ts';
import { openRedisState } from '../../../src/pip/shared/redis-state.ts';
import { MACHINE_CLOCK } from '../../support/clock.ts';
import { eventually } from '../../support/eventually.ts';
import { findRedisServer } from '../../support/parts.ts';
import { SENTINEL_MASTER, startCluster, startSentinel } from '../../support/redis-topology.ts';
import { memoryLog } from '../../unit/pip/fixture.ts';
import { entryOf } from '../../unit/pip/shared/fixture.ts';

const log = memoryLog();
const open: AsyncDisposable[] = [];

async function replica(server: RedisServer): Promise<SharedState> {
  const state = await openRedisState({
    ...server,
    keyPrefix: '{pdp:state}:',
    clock: MACHINE_CLOCK,
    log,
    maxEntries: 1_000,
    durability: 'written',
    timeoutMs: 1_000,
    heartbeatMs: 100,
    restoreSpreadMs: 100,
  });
  open.push(state);
  return state;
}

async function until(what: string, holds: () => boolean): Promise<void> {
  await eventually(what, () => (holds() ? true : undefined));
}

async function untilPut(state: SharedState, key: string): Promise<void> {
  await eventually('the put is taken', () =>
    state.put([entryOf({ key, at: Date.now() })]).then(
      () => true,
      () => undefined,
    ),
  );
}

describe.skipIf(findRedisServer() === undefined)('a Redis of several servers', () => {
  afterEach(async () => {
    for (const part of open.splice(0).reverse()) await part[Symbol.asyncDispose]();
  });

  test('is followed by sentinels to its new master, and nothing is lost on the way', async () => {
    const topology = await startSentinel();
    open.push(topology);
    const server = { sentinel: { urls: topology.urls, master: SENTINEL_MASTER } };
    const [one, two] = [await replica(server), await replica(server)];
    await one.put([entryOf({ key: 'void|a', at: Date.now() })]);
    await until('two has it', () => two.get('void|a') !== undefined);
    const [master] = topology.servers;
    await master?.stop();
    await until('the loss is noticed', () => one.lagMs() > 0 && two.lagMs() > 0);
    await untilPut(two, 'void|b');
    await until('one has it too', () => one.get('void|b') !== undefined && one.lagMs() === 0);
    expect(
      (await replica(server))
        .list('void|')
        .map(({ key }) => key)
        .sort(),
    ).toEqual(['void|a', 'void|b']);
  });

  test('does not hold up the start where no sentinel answers', async () => {
    const from = performance.now();
    const state = await replica({ sentinel: { urls: ['redis://127.0.0.1:1'], master: SENTINEL_MASTER } });
    expect(performance.now() - from).toBeLessThan(6_000);
    await expect(state.put([entryOf()])).rejects.toMatchObject({ reason: 'state_unavailable' });
    expect(state.lagMs()).toBeGreaterThan(0);
  });

  test('does not hold up the start where no node of a cluster answers', async () => {
    const state = await replica({ cluster: { urls: ['redis://127.0.0.1:1'] } });
    await expect(state.put([entryOf()])).rejects.toMatchObject({ reason: 'state_unavailable' });
    expect(state.lagMs()).toBeGreaterThan(0);
  });

  describe('of a cluster', () => {
    test('holds the shared state in one slot, and replicas agree', async () => {
      const topology = await startCluster();
      open.push(topology);
      const server = { cluster: { urls: topology.urls.slice(0, 1) } };
      const [one, two] = [await replica(server), await replica(server)];
      await one.put([
        entryOf({ key: 'void|a', at: Date.now() }),
        entryOf({ key: 'grant|b', at: Date.now() }),
      ]);
      await two.put([entryOf({ key: 'void|c', at: Date.now() })]);
      await until('they agree', () => one.list('void|').length === 2 && two.list('void|').length === 2);
      expect((await replica(server)).lagMs()).toBe(0);
    });

    test('remembers DPoP proofs, those of one key in one slot', async () => {
      const topology = await startCluster();
      open.push(topology);
      const store = await openRedisReplayStore({
        cluster: { urls: topology.urls },
        keyPrefix: 'pdp:dpop:',
        windowMs: 60_000,
        maxPerOwner: 2,
        commandTimeoutMs: 1_000,
        log,
      });
      open.push(store);
      for (let owner = 0; owner < 20; owner += 1) {
        const [key, name] = [randomUUID(), `owner-${owner}`];
        expect(await store.remember(key, name)).toBe('new');
        expect(await store.remember(key, name)).toBe('used');
        expect(await store.remember(randomUUID(), name)).toBe('new');
        expect(await store.remember(randomUUID(), name)).toBe('crowded');
      }
    });

    test('says in time that the node of the state has gone silent, and goes on when it is back', async () => {
      const topology = await startCluster();
      open.push(topology);
      const state = await replica({ cluster: { urls: topology.urls } });
      await state.put([entryOf({ key: 'void|a', at: Date.now() })]);
      const holders = await Promise.all(
        topology.servers.map(async (server) => ((await server.client.dbsize()) > 0 ? server : undefined)),
      );
      const holder = holders.find((server) => server !== undefined);
      holder?.pause();
      await until('it lags', () => state.lagMs() > 0);
      await expect(state.put([entryOf({ key: 'void|b', at: Date.now() })])).rejects.toMatchObject({
        reason: 'state_unavailable',
      });
      holder?.resume();
      await until('it is current', () => state.lagMs() === 0);
      await untilPut(state, 'void|b');
    });
  });
});
