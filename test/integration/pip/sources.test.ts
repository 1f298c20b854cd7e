import { randomUUID } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import { type SourceParts, type Sources, openSources } from '../../../src/compose/sources.ts';
import { ConfigSchema } from '../../../src/config.ts';
import { MACHINE_CLOCK } from '../../support/clock.ts';
import { type TestRedis, startRedis } from '../../support/redis.ts';
import { memoryLog } from '../../unit/pip/fixture.ts';

const NEVER = new AbortController();
const FOREVER_MS = 3_600_000;

let redis: TestRedis;

beforeAll(async () => {
  redis = await startRedis();
});

afterAll(() => redis[Symbol.asyncDispose]());

async function open(pips: readonly object[], parts: Partial<SourceParts> = {}): Promise<Sources> {
  const config = ConfigSchema.parse({ grpc: { plaintext: true }, policies: { sets: ['p'] }, pips });
  const stack = new AsyncDisposableStack();
  onTestFinished(() => stack.disposeAsync());
  return await openSources(config.pips, { clock: MACHINE_CLOCK, log: memoryLog(), ...parts }, stack);
}

async function people(name: string, subject = 'user') {
  const keyPrefix = `test:${randomUUID()}:`;
  const write = (id: string, level: number) =>
    redis.client.set(`${keyPrefix}${id}`, JSON.stringify({ level }));
  await write('a', 1);
  const point = {
    kind: 'redis',
    name,
    subject,
    gives: ['level'],
    url: redis.url,
    key_prefix: keyPrefix,
    fresh_ms: FOREVER_MS,
    max_stale_ms: FOREVER_MS,
    timeout_ms: 5_000,
    on_failure: 'omit',
    on_failure_by_attribute: { level: 'last_known' },
  };
  return { point, write };
}

test('information points are opened as configured', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'sources-'));
  onTestFinished(() => rm(folder, { recursive: true }));
  const file = join(folder, 'f.json');
  await writeFile(file, '{"a":{"level":7}}');
  const local = { kind: 'static_file', name: 'local', subject: 'user', gives: ['level'], file };
  const { point } = await people('remote');
  const { all, health } = await open([{ ...local, on_failure_by_attribute: { level: 'omit' } }, point]);
  expect(all).toMatchObject([
    { name: 'local', subject: 'user', gives: ['level'], onFailure: 'deny' },
    { name: 'remote', subject: 'user', gives: ['level'], onFailure: 'omit' },
  ]);
  expect(all.map(({ onFailureOf }) => onFailureOf?.get('level'))).toEqual(['omit', 'last_known']);
  expect(await all[0]?.lookup('a', NEVER)).toMatchObject({ attributes: { level: 7 } });
  expect(await all[1]?.lookup('a', NEVER)).toMatchObject({ attributes: { level: 1 } });
  expect(health()).toMatchObject([{ name: 'remote', breaker: 'closed', lookups: { fetched: 1 } }]);
});

test('a change of a subject is heard by the points that know subjects of its kind', async () => {
  const [users, devices] = [await people('users'), await people('devices', 'device')];
  const { all, invalidation } = await open([users.point, devices.point]);
  const levels = async () =>
    await Promise.all(all.map(async (source) => (await source.lookup('a', NEVER)).attributes['level']));
  expect(await levels()).toEqual([1, 1]);
  for (const { write } of [users, devices]) await write('a', 2);
  expect(await levels()).toEqual([1, 1]);
  invalidation.invalidate('user', 'a');
  expect(await levels()).toEqual([2, 1]);
  invalidation.invalidateAll();
  expect(await levels()).toEqual([2, 2]);
});

test('nothing that is held is fresh while we do not hear of changes', async () => {
  let isCurrent = true;
  const { point, write } = await people('users');
  const { all } = await open([point], { isCurrent: () => isCurrent });
  await all[0]?.lookup('a', NEVER);
  await write('a', 2);
  expect(await all[0]?.lookup('a', NEVER)).toMatchObject({ attributes: { level: 1 } });
  isCurrent = false;
  expect(await all[0]?.lookup('a', NEVER)).toMatchObject({ attributes: { level: 2 } });
});

test('each question is told with its source and its time', async () => {
  const asked: [string, number][] = [];
  const { point } = await people('users');
  const { all } = await open([point], { onAsked: (source, ms) => asked.push([source, ms]) });
  await all[0]?.lookup('a', NEVER);
  await all[0]?.lookup('a', NEVER);
  expect(asked).toEqual([['users', expect.any(Number)]]);
});
