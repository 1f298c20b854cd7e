import { readFile, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { App } from '../../../src/compose.ts';
import { type ConfigFolder, createConfigFolder, startTestApp } from '../../support/app.ts';
import { eventually } from '../../support/eventually.ts';
import { findRedisServer } from '../../support/parts.ts';
import { type TestRedis, startRedis } from '../../support/redis.ts';
import { RECEIVER, type TestTransmitter, startTransmitter } from '../../support/ssf-transmitter.ts';

const REVOKED = 'https://schemas.openid.net/secevent/caep/event-type/session-revoked';
const canRun = findRedisServer() !== undefined;

let transmitter: TestTransmitter;
let redis: TestRedis;
let folder: ConfigFolder;
let apps: readonly App[] = [];

beforeAll(async () => {
  if (!canRun) return;
  transmitter = await startTransmitter();
  redis = await startRedis({ exclusive: true });
  const stream = {
    name: 'idp',
    issuer: transmitter.issuer,
    audiences: [RECEIVER],
    jwks: { url: transmitter.jwksUrl },
    delivery: { kind: 'push' },
    subjects: { user: 'demo' },
  };
  const shared = { shared_state: { kind: 'redis', url: redis.url }, event_streams: [stream] };
  folder = await createConfigFolder(shared);
  const second = await createConfigFolder(shared);
  apps = [await startTestApp(folder), await startTestApp(second)];
});

afterAll(async () => {
  for (const app of apps) await app.stop();
  await redis?.[Symbol.asyncDispose]();
  await transmitter?.[Symbol.asyncDispose]();
  await folder?.[Symbol.asyncDispose]();
});

function push(replica: number, set: string): Promise<Response> {
  return transmitter.push(`http://${apps[replica]?.addresses.http}/events/idp`, set);
}

async function readControls(auditDir: string): Promise<Readonly<Record<string, unknown>>[]> {
  const files = (await readdir(auditDir)).filter((name) => name.endsWith('.ndjson'));
  const texts = await Promise.all(files.map((name) => readFile(join(auditDir, name), 'utf8')));
  return texts
    .flatMap((text) => text.split('\n').slice(0, -1))
    .map((line) => JSON.parse(line) as Readonly<Record<string, unknown>>);
}

async function outcomes(replica: number): Promise<string> {
  return await (await fetch(`http://${apps[replica]?.addresses.ops}/metrics`)).text();
}

describe.skipIf(!canRun)('an event, with replicas on one Redis', () => {
  test('that comes to both has one effect', async () => {
    const set = await transmitter.set(REVOKED, {}, { format: 'opaque', id: 'session-1' });
    expect((await push(0, set)).status).toBe(202);
    const controls = (await readControls(folder.auditDir)).filter(({ kind }) => kind === 'security_event');
    expect(controls).toMatchObject([
      {
        stream: 'idp',
        event: 'session-revoked',
        jti: expect.stringMatching(/^[0-9a-f-]{36}$/),
        effect: 'void_before',
        subjects: 'session demo/session-1',
      },
    ]);
    await eventually('the other replica knows', async () => {
      expect((await push(1, set)).status).toBe(202);
      return /outcome="duplicate"/.test(await outcomes(1)) || undefined;
    });
  });

  test('is not acknowledged while Redis is down, and is taken when it is back', async () => {
    const set = await transmitter.set(REVOKED, {}, { format: 'opaque', id: 'session-2' });
    redis.pause();
    const answer = await push(0, set);
    expect(answer.status).toBe(503);
    expect(answer.headers.get('retry-after')).toBe('5');
    expect(await outcomes(0)).toMatch(/event="session-revoked",outcome="unavailable"\} 1/);
    redis.resume();
    await eventually('it is taken', async () => ((await push(0, set)).status === 202 ? true : undefined));
  });
});
