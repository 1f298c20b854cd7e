import { writeFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { eventually } from '../../support/eventually.ts';
import { type KafkaMessage, startKafka } from '../../support/kafka.ts';
import { findKafkaBroker } from '../../support/parts.ts';
import { createTestCa } from '../../support/test-ca.ts';
import { LOG, LOOPBACK_NAME, RunningLog, quickSink } from './running-log.ts';

/** Whether every index below `count` is there. */
function complete(count: number) {
  return (messages: readonly KafkaMessage[]): boolean =>
    messages.length >= count && new Set(messages.map(({ headers }) => headers['index'])).size === count;
}

describe.skipIf(findKafkaBroker() === undefined)('the decision log in a Kafka topic', () => {
  test('misses no record while broker and process are killed in turn, and what is there twice is identical', async () => {
    await using kafka = await startKafka({ topic: 'audit' });
    const brokers = [`127.0.0.1:${kafka.port}`];
    const log = new RunningLog(quickSink('kafka', { kind: 'kafka', brokers, tls: false, topic: 'audit' }));
    for (let round = 0; round < 2; round++) {
      await log.start();
      await log.delivered('kafka', 100);
      await kafka.kill();
      await log.written(100);
      await kafka.start();
      await log.delivered('kafka', 200);
      await log.kill();
    }
    await log.start(0, 60_000);
    expect(await log.stop()).toBe(0);

    const lines = log.lines();
    const messages = await kafka.read(complete(lines.length));
    for (const { key, value, headers, partition } of messages) {
      expect(value).toBe(lines[Number(headers['index'])]);
      expect([key, headers['log'], partition]).toEqual([LOG, LOG, messages[0]?.partition]);
    }
  });

  test('is delivered over TLS to a user that proves a password (SCRAM)', async () => {
    await using ca = await createTestCa('kafka.test');
    const server = await ca.issue({ spiffeId: 'spiffe://kafka.test/server', names: [LOOPBACK_NAME] });
    const user = { name: 'pdp', password: 'hush-hush' };
    const sasl = { mechanism: 'SCRAM-SHA-512', username: user.name, password: user.password } as const;
    const client = { tls: { ca: ca.bundle }, sasl };
    await using kafka = await startKafka({ topic: 'audit', tls: server, user, client });
    const passwordFile = `${server.certFile}.password`;
    writeFileSync(passwordFile, 'wrong\n');
    const log = new RunningLog(
      quickSink('kafka', {
        kind: 'kafka',
        brokers: [`127.0.0.1:${kafka.port}`],
        tls: true,
        topic: 'audit',
        caFile: ca.bundleFile,
        sasl: { mechanism: 'SCRAM-SHA-512', username: user.name, passwordFile },
      }),
    );
    await log.start();
    await eventually('the refusal is said', () =>
      log.output.includes('does not deliver') ? true : undefined,
    );
    writeFileSync(passwordFile, 'hush-hush\n');
    await log.delivered('kafka', 50);
    expect(await log.stop()).toBe(0);
    const count = log.lines().length;
    expect((await kafka.read(complete(count))).length).toBeGreaterThanOrEqual(count);
    expect(log.output).not.toContain('hush-hush');
  });

  test('comes in smaller batches, and as stubs, where the broker takes less', async () => {
    await using kafka = await startKafka({ topic: 'audit', maxMessageBytes: 480 });
    const brokers = [`127.0.0.1:${kafka.port}`];
    const log = new RunningLog(quickSink('kafka', { kind: 'kafka', brokers, tls: false, topic: 'audit' }));
    await log.start(50);
    await log.delivered('kafka', 300);
    expect(await log.stop()).toBe(0);
    const lines = log.lines();
    const messages = await kafka.read(complete(lines.length));
    const stubs = messages.filter(({ value }) => JSON.parse(value).oversized === true);
    expect(stubs.length).toBeGreaterThan(0);
    for (const { value, headers } of stubs)
      expect(JSON.parse(value).bytes).toBe(Buffer.byteLength(lines[Number(headers['index'])] ?? ''));
  });
});
