import { writeFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { findNatsServer } from '../../support/parts.ts';
import { startNats } from '../../support/nats.ts';
import { createTestCa } from '../../support/test-ca.ts';
import { eventually } from '../../support/eventually.ts';
import { LOG, LOOPBACK_NAME, RunningLog, quickSink } from './running-log.ts';

describe.skipIf(findNatsServer() === undefined)('the decision log in a NATS JetStream', () => {
  test('holds every record exactly once while broker and process are killed in turn', async () => {
    await using nats = await startNats();
    await nats.addStream('AUDIT', 'audit.pdp');
    const log = new RunningLog(
      quickSink('nats', {
        kind: 'nats',
        servers: [`127.0.0.1:${nats.port}`],
        tls: false,
        subject: 'audit.pdp',
        stream: 'AUDIT',
      }),
    );
    for (let round = 0; round < 4; round++) {
      await log.start();
      await log.delivered('nats', 100);
      await nats.kill();
      await log.written(100);
      if (round % 2 === 1) await log.kill();
      await nats.start();
      if (round % 2 === 0) await log.delivered('nats', 200);
      await log.kill();
    }
    await log.start(0, 60_000);
    expect(await log.stop()).toBe(0);

    const lines = log.lines();
    expect(lines.length).toBeGreaterThan(1000);
    const messages = await nats.messages('AUDIT');
    const byId = new Map(messages.map((message) => [message.header.get('Nats-Msg-Id'), message.string()]));
    expect(messages.length).toBe(lines.length);
    expect(byId.size).toBe(lines.length);
    for (const [index, line] of lines.entries()) expect(byId.get(`${LOG}/${index}`)).toBe(line);
  });

  test('is delivered over TLS with a client certificate and a password', async () => {
    await using ca = await createTestCa('nats.test');
    const server = await ca.issue({ spiffeId: 'spiffe://nats.test/server', names: [LOOPBACK_NAME] });
    const client = await ca.issue({ spiffeId: 'spiffe://nats.test/pdp' });
    const tls = { caFile: ca.bundleFile, certFile: client.certFile, keyFile: client.keyFile };
    await using nats = await startNats({
      config: {
        tls: { cert_file: server.certFile, key_file: server.keyFile, ca_file: ca.bundleFile, verify: true },
        authorization: { user: 'pdp', password: 'hush-hush' },
      },
      client: { tls: { ...tls, host: '127.0.0.1' } as typeof tls, user: 'pdp', pass: 'hush-hush' },
    });
    await nats.addStream('AUDIT', 'audit.pdp');
    const passwordFile = `${server.certFile}.password`;
    writeFileSync(passwordFile, 'wrong\n');
    const servers = [`127.0.0.1:${nats.port}`];
    const log = new RunningLog(
      quickSink('nats', {
        kind: 'nats',
        servers,
        tls: true,
        subject: 'audit.pdp',
        username: 'pdp',
        passwordFile,
        ...tls,
      }),
    );
    await log.start();
    await eventually('the refusal is said', () => /authorization violation/i.exec(log.output) ?? undefined);
    expect(log.output).not.toContain('wrong');
    // A secret is read again for each try.
    writeFileSync(passwordFile, 'hush-hush\n');
    await log.delivered('nats', 50);
    expect(await log.stop()).toBe(0);
    expect(await nats.count('AUDIT')).toBe(log.lines().length);
    expect(log.output).not.toContain('hush-hush');
  });

  test('gets a stub in the place of a record that is longer than the server takes', async () => {
    await using nats = await startNats({ config: { max_payload: 1024 } });
    await nats.addStream('AUDIT', 'audit.pdp');
    const target = {
      kind: 'nats',
      servers: [`127.0.0.1:${nats.port}`],
      tls: false,
      subject: 'audit.pdp',
    } as const;
    const log = new RunningLog(quickSink('nats', target));
    await log.start(20);
    await log.delivered('nats', 400);
    expect(await log.stop()).toBe(0);
    const lines = log.lines();
    const messages = await nats.messages('AUDIT');
    const texts = messages.map((message) => message.string());
    expect(texts.length).toBe(lines.length);
    const long = lines.flatMap((line, index) =>
      Buffer.byteLength(line) > 1024 - 512 - LOG.length ? [index] : [],
    );
    const stubs = texts.flatMap((text, index) => (JSON.parse(text).oversized === true ? [index] : []));
    expect(stubs.length).toBeGreaterThan(0);
    expect(stubs).toEqual(long);
    const [stub = -1] = stubs;
    expect(JSON.parse(texts[stub] ?? '')).toMatchObject({
      kind: 'search',
      log: LOG,
      index: stub,
      oversized: true,
    });
  });
});
