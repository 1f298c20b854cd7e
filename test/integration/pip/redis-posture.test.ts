import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { postureReader } from '../../../src/pip/device/mappings/posture-mapping.ts';
import type { FactSource } from '../../../src/pip/facts/fact-source.ts';
import { openRedisSource } from '../../../src/pip/facts/redis.ts';
import { type TestRedis, startRedis } from '../../support/redis.ts';
import {
  crowdStrikeAssessment,
  crowdStrikeHost,
  fleetHost,
} from '../../unit/pip/device/mappings/payloads.ts';
import { memoryLog } from '../../unit/pip/fixture.ts';

const NEVER = new AbortController().signal;
const GIVES = ['disk_encrypted', 'risk', 'vendor'];
const keyPrefix = `test:${randomUUID()}:`;

let redis: TestRedis;
let fleet: FactSource;
let falcon: FactSource;

beforeAll(async () => {
  redis = await startRedis();
  const common = { url: redis.url, keyPrefix, subject: 'device', gives: GIVES, log: memoryLog() };
  fleet = await openRedisSource({ ...common, name: 'fleet', read: postureReader('fleet', GIVES) });
  falcon = await openRedisSource({ ...common, name: 'falcon', read: postureReader('crowdstrike', GIVES) });
});

afterAll(async () => {
  for (const part of [falcon, fleet, redis]) await part[Symbol.asyncDispose]();
});

test("a vendor's payload in Redis is posture, whatever else it holds", async () => {
  await redis.client.set(`${keyPrefix}mdm/1`, JSON.stringify(fleetHost()));
  expect(await fleet.fetch('mdm/1', NEVER)).toMatchObject({
    status: 'found',
    attributes: { disk_encrypted: true, vendor: { fleet: { failing_policies: 0 } } },
    observedAt: Date.UTC(2026, 10, 22, 6),
  });
});

test('two payloads of one vendor may be one hash', async () => {
  const [assessment = {}] = crowdStrikeAssessment(60).resources;
  const members = Object.entries({ ...crowdStrikeHost(), ...assessment });
  await redis.client.hset(
    `${keyPrefix}mdm/2`,
    Object.fromEntries(members.map(([name, value]) => [name, JSON.stringify(value)])),
  );
  expect(await falcon.fetch('mdm/2', NEVER)).toMatchObject({
    attributes: {
      risk: 'medium',
      vendor: { crowdstrike: { zta_score: 60, sensor_version: '7.20.18802.0' } },
    },
  });
});

test("what is not a vendor's payload is refused by its place, and what is not there is absent", async () => {
  await redis.client.set(`${keyPrefix}mdm/3`, '{"assessment":{"overall":"secret"}}');
  await expect(falcon.fetch('mdm/3', NEVER)).rejects.toMatchObject({
    reason: 'attribute_unavailable',
    message: "the value has no whole number at '/assessment/overall'",
  });
  await redis.client.set(`${keyPrefix}mdm/4`, '{"resources":[]}');
  expect(await falcon.fetch('mdm/4', NEVER)).toMatchObject({ status: 'absent' });
  expect(await falcon.fetch('mdm/5', NEVER)).toMatchObject({ status: 'absent' });
});
