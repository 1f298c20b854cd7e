import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { createConfigFolder, startTestApp } from '../../support/app.ts';
import { eventually } from '../../support/eventually.ts';
import { type DecisionRecord, readRecords } from '../../support/pdp-process.ts';
import { startRedis } from '../../support/redis.ts';
import { PAYMENT_API, checkRequestBytes } from '../../support/requests.ts';
import { POLICIES } from '../../support/snapshot.ts';
import { connect } from '../../unit/api/grpc-client.ts';

/** Serves the mesh beside a point in a Redis of our own that says which workloads are shut off. */
async function serve(point: object) {
  const redis = await startRedis({ exclusive: true });
  onTestFinished(() => redis[Symbol.asyncDispose]());
  const keyPrefix = `test:${randomUUID()}:`;
  const folder = await createConfigFolder({
    policies: { sets: [join(POLICIES, 'mesh-call'), join(POLICIES, 'incident-response')] },
    // Decisions that are remembered would not ask.
    decision: { timeout_ms: 5000, cache: { max_age_ms: 0 } },
    pips: [
      {
        kind: 'redis',
        name: 'quarantine',
        subject: 'workload',
        gives: ['groups'],
        url: redis.url,
        key_prefix: keyPrefix,
        timeout_ms: 1000,
        fresh_ms: 1,
        ...point,
      },
    ],
  });
  onTestFinished(() => folder[Symbol.asyncDispose]());
  const app = await startTestApp(folder);
  onTestFinished(() => app.stop());
  const ask = async (): Promise<DecisionRecord> => {
    using client = connect(app.addresses.grpc);
    const { metadata } = await client.check(checkRequestBytes());
    return await eventually('the record', async () =>
      (await readRecords(folder.auditDir)).find(({ decision_id: id }) => id === metadata['decision_id']),
    );
  };
  const metrics = async () => await (await fetch(`http://${app.addresses.ops}/metrics`)).text();
  const write = async (groups: readonly string[]) =>
    await redis.client.set(`${keyPrefix}${PAYMENT_API}`, JSON.stringify({ groups }));
  return { redis, ask, metrics, write };
}

test('a point that is down denies with words, is left alone, and is asked again when it is back', async () => {
  const { redis, ask, metrics, write } = await serve({ breaker: { failures: 3, pause_ms: 50 } });
  await write(['quarantined']);
  expect(await ask()).toMatchObject({ decision: 'DENY', reason: 'policy_forbids' });
  await write([]);
  await eventually('the change is seen', async () => ((await ask()).decision === 'ALLOW' ? true : undefined));
  await redis.stop();
  expect(await ask()).toMatchObject({
    decision: 'DENY',
    reason: 'attribute_unavailable',
    detail: expect.stringMatching(/^quarantine: .*; 'groups' must be known$/) as string,
  });
  await eventually('the breaker opens', async () => {
    const { detail } = await ask();
    return /is not asked for a while because it keeps failing/.test(detail ?? '') ? true : undefined;
  });
  expect(await metrics()).toContain('pdp_information_point_breaker_state{source="quarantine"} 2');
  const again = await startRedis({ exclusive: true, port: redis.port });
  onTestFinished(() => again[Symbol.asyncDispose]());
  await eventually('the point is back', async () => ((await ask()).decision === 'ALLOW' ? true : undefined));
  const text = await metrics();
  expect(text).toContain('pdp_information_point_breaker_state{source="quarantine"} 0');
  expect(text).toMatch(/pdp_information_point_lookups_total\{source="quarantine",outcome="rejected"\} [1-9]/);
  expect(text).toMatch(/pdp_information_point_fetch_duration_seconds_count\{source="quarantine"\} [1-9]/);
});

test('a point whose last word will do is not missed while it is down', async () => {
  const { redis, ask, write } = await serve({ on_failure: 'last_known', max_stale_ms: 600_000 });
  await write(['quarantined']);
  expect(await ask()).toMatchObject({ decision: 'DENY', reason: 'policy_forbids' });
  await redis.stop();
  for (let i = 0; i < 10; i += 1)
    expect(await ask()).toMatchObject({
      decision: 'DENY',
      reason: 'policy_forbids',
      pip: [expect.objectContaining({ source: 'quarantine', stale: true })],
    });
});
