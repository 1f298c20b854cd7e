import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { request } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { EnvoyConfig } from '../support/envoy.ts';
import { eventually } from '../support/eventually.ts';
import { type Mesh, startMesh } from '../support/mesh.ts';
import { findEnvoy, findRedisServer } from '../support/parts.ts';
import type { DecisionRecord } from '../support/pdp-process.ts';
import { startRedis } from '../support/redis.ts';
import { POLICIES } from '../support/snapshot.ts';
import { RECEIVER, type TestTransmitter, startTransmitter } from '../support/ssf-transmitter.ts';
import { type Leaf, createTestCa } from '../support/test-ca.ts';

const HOST = 'mail.example.com';
const COMPLIANCE = 'https://schemas.openid.net/secevent/caep/event-type/device-compliance-change';
const REVOKED = 'https://schemas.openid.net/secevent/caep/event-type/session-revoked';

const canRun = findEnvoy() !== undefined && findRedisServer() !== undefined;

/** Two replicas, each behind an Envoy of its own, on one Redis; the device management pushes events to one of them. */
interface Site {
  readonly replicas: readonly [Mesh, Mesh];
  readonly transmitter: TestTransmitter;
  readonly mail: Leaf;
  readonly caBundle: string;
}

let site: Site;
const stack = new AsyncDisposableStack();

beforeAll(async () => {
  if (!canRun) return;
  const folder = await mkdtemp(join(tmpdir(), 'pdp-device-'));
  stack.defer(() => rm(folder, { recursive: true, force: true, maxRetries: 20 }));
  const redis = stack.use(await startRedis({ exclusive: true }));
  const transmitter = stack.use(await startTransmitter());
  const ca = stack.use(await createTestCa('prod.example.com'));
  const mail = await ca.issue({ spiffeId: 'spiffe://prod.example.com', dns: [HOST], uris: [] });
  const config = await configOf(folder, redis.url, transmitter);
  const replica = async () =>
    stack.use(await startMesh({ config, editEnvoy: (envoy) => serveMail(envoy, mail) }));
  site = { replicas: [await replica(), await replica()], transmitter, mail, caBundle: ca.bundle };
});

afterAll(() => stack.disposeAsync());

async function configOf(folder: string, redis: string, transmitter: TestTransmitter) {
  const facts = join(folder, 'devices.json');
  const known = { compliant: true, risk: 'low' };
  await writeFile(facts, JSON.stringify({ 'demo/laptop-1': known, 'demo/laptop-2': known }));
  return {
    policies: { sets: [join(POLICIES, 'device-gone-bad')] },
    pips: [
      { name: 'mdm', kind: 'static_file', subject: 'device', gives: ['compliant', 'risk'], file: facts },
    ],
    shared_state: { kind: 'redis', url: redis },
    event_streams: [
      {
        name: 'mdm',
        issuer: transmitter.issuer,
        audiences: [RECEIVER],
        jwks: { url: transmitter.jwksUrl },
        delivery: { kind: 'push' },
        issuers: { [transmitter.issuer]: 'demo' },
      },
    ],
  };
}

/** Every listener is the mail service by its name; it has no SPIFFE ID. */
function serveMail({ static_resources }: EnvoyConfig, mail: Leaf): void {
  for (const { filter_chains: chains } of static_resources.listeners)
    for (const chain of chains)
      chain.transport_socket.typed_config.common_tls_context.tls_certificates = [
        { certificate_chain: { filename: mail.certFile }, private_key: { filename: mail.keyFile } },
      ];
}

interface Answer {
  readonly status: number;
  readonly detail: string | undefined;
  readonly record: DecisionRecord | undefined;
}

/** Reads mail through one replica, and what that wrote down of it. */
async function readMail(mesh: Mesh, token: string): Promise<Answer> {
  const before = (await mesh.pdp.records(0)).length;
  const { status, body } = await new Promise<{ status: number; body: string }>((resolve, reject) => {
    const outgoing = request(
      {
        host: '127.0.0.1',
        port: mesh.envoy.ports.edge,
        servername: HOST,
        ca: site.caBundle,
        path: '/inbox',
        headers: { host: HOST, authorization: `Bearer ${token}` },
        agent: false,
      },
      (incoming) => {
        let text = '';
        incoming.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
        incoming.on('end', () => resolve({ status: incoming.statusCode ?? 0, body: text }));
      },
    );
    outgoing.on('error', reject).end();
  });
  const record = (await mesh.pdp.records(before + 1))[before];
  return {
    status,
    detail: status === 200 ? undefined : (JSON.parse(body) as { detail?: string }).detail,
    record,
  };
}

const everywhere = <T>(ask: (mesh: Mesh) => Promise<T>): Promise<T[]> => Promise.all(site.replicas.map(ask));

/** Pushes an event to the first replica. */
async function push(type: string, event: object, subject: object): Promise<void> {
  const url = `http://127.0.0.1:${site.replicas[0].pdp.httpPort}/events/mdm`;
  const answer = await site.transmitter.push(url, await site.transmitter.set(type, event, subject));
  expect(answer.status).toBe(202);
}

describe.skipIf(!canRun)('scenario 9, a device goes bad mid-session, through two replicas', () => {
  const laptop = () => ({ format: 'iss_sub', iss: site.transmitter.issuer, sub: 'laptop-1' });
  const device = () => ({ format: 'complex', device: laptop() });

  test('one event at one replica flips the next decision on both, cached or not, and nobody else is hurt', async () => {
    const tokens = await everywhere((mesh) => mesh.token());
    const others = await everywhere((mesh) => mesh.token({ sub: 'bob', deviceId: 'laptop-2' }));
    const read = (all: readonly string[]) =>
      Promise.all(site.replicas.map((mesh, i) => readMail(mesh, all[i] ?? '')));
    for (const _twice of [1, 2]) expect((await read(tokens)).map(({ status }) => status)).toEqual([200, 200]);

    await push(COMPLIANCE, { current_status: 'not-compliant', previous_status: 'compliant' }, device());
    // 202 means that Redis has it; the other replica is told of it by Redis.
    const [here] = site.replicas;
    expect(await readMail(here, tokens[0] ?? '')).toMatchObject({
      status: 403,
      detail: 'the device is not compliant',
    });
    const denied = await eventually('the other replica denies', async () => {
      const answers = await read(tokens);
      return answers.every(({ status }) => status === 403) ? answers : undefined;
    });
    for (const { detail, record } of denied) {
      expect(detail).toBe('the device is not compliant');
      expect(record).toMatchObject({ decision: 'DENY', policies: ['device.compliant'] });
    }
    expect((await read(others)).map(({ status }) => status)).toEqual([200, 200]);

    await push(COMPLIANCE, { current_status: 'compliant', previous_status: 'not-compliant' }, device());
    await eventually('both permit again', async () => {
      const answers = await read(tokens);
      return answers.every(({ status }) => status === 200) || undefined;
    });
  });

  test('a session that is revoked ends on both', async () => {
    const tokens = await everywhere((mesh) => mesh.token({ sub: 'carol' }));
    const read = (all: readonly string[]) =>
      Promise.all(site.replicas.map((mesh, i) => readMail(mesh, all[i] ?? '')));
    expect((await read(tokens)).map(({ status }) => status)).toEqual([200, 200]);
    const carol = { format: 'iss_sub', iss: site.transmitter.issuer, sub: 'carol' };
    // Tokens of these tests are a minute old when they are made.
    const at = Math.floor(Date.now() / 1000) - 30;
    await push(
      REVOKED,
      { event_timestamp: at, initiating_entity: 'policy' },
      { format: 'complex', user: carol },
    );
    await eventually('both deny', async () => {
      const answers = await read(tokens);
      return answers.every(({ status }) => status === 401) || undefined;
    });
  });

  test('the log of neither replica holds a SET or a token', async () => {
    const output = site.replicas.map(({ pdp }) => pdp.output()).join('');
    expect(output).toContain('a security event was received');
    expect(output).not.toMatch(/eyJ[\w-]{10,}/);
  });
});
