import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { FactSource, FetchedFacts } from '../../../src/pip/facts/fact-source.ts';
import { answerReader } from '../../../src/pip/facts/http/answer-map.ts';
import { type HttpSourceOptions, openHttpSource } from '../../../src/pip/facts/http/http-source.ts';
import { postureReader } from '../../../src/pip/device/mappings/posture-mapping.ts';
import { type RemoteSettings, remote } from '../../../src/pip/facts/remote.ts';
import { createManualClock } from '../../support/clock.ts';
import { eventually } from '../../support/eventually.ts';
import { freePort } from '../../support/free-port.ts';
import { type Leaf, type TestCa, createTestCa } from '../../support/test-ca.ts';
import { SETTINGS } from '../../unit/pip/facts/manual-fact-source.ts';
import { fleetHost } from '../../unit/pip/device/mappings/payloads.ts';
import { type MemoryLog, memoryLog } from '../../unit/pip/fixture.ts';
import { type Asked, type FactsServer, answering, startFactsServer } from './facts-server.ts';

const NEVER = new AbortController().signal;
const GIVES = ['department', 'groups'];

let log: MemoryLog;
let folder: string;
const open: AsyncDisposable[] = [];

beforeEach(async () => {
  log = memoryLog();
  folder = await mkdtemp(join(tmpdir(), 'http-facts-'));
});

afterEach(async () => {
  for (const part of open.splice(0).reverse()) await part[Symbol.asyncDispose]();
  await rm(folder, { recursive: true });
});

async function serve(...parameters: Parameters<typeof startFactsServer>): Promise<FactsServer> {
  const server = await startFactsServer(...parameters);
  open.push(server);
  return server;
}

async function source(url: string, options: Partial<HttpSourceOptions> = {}): Promise<FactSource> {
  const opened = await openHttpSource({
    name: 'directory',
    subject: 'user',
    gives: GIVES,
    url,
    credentials: {},
    read: answerReader({}, GIVES),
    pollMs: 10,
    log,
    ...options,
  });
  open.push(opened);
  return opened;
}

async function secretFile(name: string, content: string): Promise<string> {
  const file = join(folder, name);
  await writeFile(file, content);
  return file;
}

function lastAsked(server: FactsServer): Asked {
  const asked = server.asked.at(-1);
  if (asked === undefined) throw new Error('not asked');
  return asked;
}

const FACTS = { department: 'finance', groups: ['staff'], observed_at: 1_795_000_000 };
const FOUND: FetchedFacts = {
  status: 'found',
  attributes: { department: 'finance' },
  groups: ['staff'],
  observedAt: 1_795_000_000_000,
};

describe('facts over HTTP', () => {
  test('are asked for with GET, by the id in the URL', async () => {
    const server = await serve(answering(FACTS));
    const users = await source(`${server.origin}/users/{issuer}/{name}?of={id}`);
    expect(await users.fetch('corp/alice smith', NEVER)).toEqual(FOUND);
    expect(lastAsked(server)).toMatchObject({
      method: 'GET',
      url: '/users/corp/alice%20smith?of=corp%2Falice%20smith',
      headers: { accept: 'application/json, application/*+json;q=0.9' },
      body: '',
    });
  });

  test('are asked for with POST, by the id in the body', async () => {
    const server = await serve(answering(FACTS));
    const users = await source(`${server.origin}/lookup`, { body: { user: '{name}', all: true } });
    expect(await users.fetch('corp/a"b', NEVER)).toEqual(FOUND);
    expect(lastAsked(server)).toMatchObject({
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: '{"user":"a\\"b","all":true}',
    });
  });

  test('come over connections that are kept, whatever was answered', async () => {
    const server = await serve(answering(FACTS));
    const users = await source(`${server.origin}/{id}`);
    for (let index = 0; index < 20; index += 1) await users.fetch(`corp/${index}`, NEVER);
    server.behave((_asked, response) => response.writeHead(404).end('nothing'));
    for (let index = 0; index < 20; index += 1) await users.fetch(`corp/${index}`, NEVER);
    // The next question may come before the connection of the last one is free again.
    expect(server.connections).toBeLessThanOrEqual(2);
  });

  test('come over no more connections than are allowed', async () => {
    const server = await serve(answering(FACTS));
    const users = await source(`${server.origin}/{id}`, { maxConnections: 2 });
    await Promise.all(Array.from({ length: 20 }, (_, index) => users.fetch(`corp/${index}`, NEVER)));
    expect(server.connections).toBe(2);
  });

  test.each([404, 410])('are absent where the server says %d', async (status) => {
    const server = await serve((_asked, response) => response.writeHead(status).end('{}'));
    const users = await source(`${server.origin}/{id}`);
    expect(await users.fetch('corp/a', NEVER)).toEqual({ status: 'absent', attributes: {}, groups: [] });
  });

  test('are absent, without a question, for users of another issuer', async () => {
    const server = await serve(answering(FACTS));
    const users = await source(`${server.origin}/{name}`, { issuer: 'corp' });
    expect(await users.fetch('partner/alice', NEVER)).toMatchObject({ status: 'absent' });
    expect(server.asked).toEqual([]);
  });

  test("are posture where they are a vendor's payload", async () => {
    const server = await serve(answering(fleetHost()));
    const devices = await source(
      `${server.origin}/api/v1/fleet/hosts/identifier/{name}?exclude_software=true`,
      {
        subject: 'device',
        gives: ['managed', 'disk_encrypted'],
        read: postureReader('fleet', ['managed', 'disk_encrypted']),
      },
    );
    expect(await devices.fetch('fleet/392547dc', NEVER)).toMatchObject({
      attributes: { managed: true, disk_encrypted: true },
      observedAt: Date.UTC(2026, 10, 22, 6),
    });
  });

  test('are not asked for with an id that would change the question', async () => {
    const server = await serve(answering(FACTS));
    const users = await source(`${server.origin}/users/{name}`);
    await expect(users.fetch('corp/..', NEVER)).rejects.toMatchObject({
      reason: 'attribute_unavailable',
      message: 'is not asked: the id would change the path',
    });
    expect(server.asked).toEqual([]);
  });
});

test('an id of any length is not sent', async () => {
  const server = await serve(answering(FACTS));
  const users = await source(`${server.origin}/{id}`);
  await expect(users.fetch(`corp/${'x'.repeat(8_000)}`, NEVER)).rejects.toThrow(
    'is not asked: the id is too long',
  );
  expect(server.asked).toEqual([]);
});

describe('freshness over HTTP', () => {
  test('is asked again by the entity tag, and what the server confirms is as it was', async () => {
    const server = await serve(answering(FACTS, { etag: '"v1"', 'cache-control': 'max-age=5' }));
    const users = await source(`${server.origin}/{id}`);
    const first = await users.fetch('corp/a', NEVER);
    expect(first).toEqual({ ...FOUND, validator: '"v1"', freshMs: 5_000 });
    server.behave((_asked, response) =>
      response.writeHead(304, { etag: '"v2"', 'cache-control': 'max-age=9' }).end(),
    );
    expect(await users.fetch('corp/a', NEVER, first)).toEqual({
      ...FOUND,
      validator: '"v2"',
      freshMs: 9_000,
    });
    expect(lastAsked(server).headers['if-none-match']).toBe('"v1"');
  });

  test('is not confirmed by a 304 that nobody asked for', async () => {
    const server = await serve((_asked, response) => response.writeHead(304).end());
    const users = await source(`${server.origin}/{id}`);
    await expect(users.fetch('corp/a', NEVER)).rejects.toThrow('answered with status 304');
    await expect(users.fetch('corp/a', NEVER, FOUND)).rejects.toThrow('answered with status 304');
  });

  test('asks without the entity tag with POST, for which it would be a precondition', async () => {
    const server = await serve(answering(FACTS, { etag: '"v1"' }));
    const users = await source(`${server.origin}/lookup`, { body: { user: '{name}' } });
    const first = await users.fetch('corp/a', NEVER);
    await users.fetch('corp/a', NEVER, first);
    expect(lastAsked(server).headers).not.toHaveProperty('if-none-match');
  });

  test('is none where the server says no-store', async () => {
    const server = await serve(answering(FACTS, { 'cache-control': 'no-store' }));
    expect(await (await source(`${server.origin}/{id}`)).fetch('corp/a', NEVER)).toEqual({
      ...FOUND,
      freshMs: 0,
    });
  });
});

describe('a server that answers wrongly', () => {
  const json = { 'content-type': 'application/json' };

  test.each<[string, number, Record<string, string>, string | Buffer, string]>([
    ['an error', 500, json, '{"secret":1}', 'answered with status 500'],
    ['a refusal', 403, json, '{"secret":1}', 'answered with status 403'],
    ['a redirect', 302, { location: '/secret' }, '', 'answered with status 302'],
    ['another success', 206, json, '{}', 'answered with status 206'],
    ['text', 200, { 'content-type': 'text/html' }, '<secret>', 'answered with something else than JSON'],
    ['no type', 200, {}, '{}', 'answered with something else than JSON'],
    [
      'another charset',
      200,
      { 'content-type': 'application/json; charset=latin1' },
      '{}',
      'answered in another encoding than UTF-8',
    ],
    [
      'gzip',
      200,
      { ...json, 'content-encoding': 'gzip' },
      '{}',
      'answered with a content encoding that was not asked for',
    ],
    ['not JSON', 200, json, '{"secret', 'answered with text that is not JSON in UTF-8'],
    ['not UTF-8', 200, json, Buffer.from([0x22, 0xff, 0x22]), 'answered with text that is not JSON in UTF-8'],
    ['too much', 200, json, JSON.stringify({ x: 'x'.repeat(65_536) }), 'answered with more than 65536 bytes'],
    [
      'bad facts',
      200,
      json,
      '{"groups":"secret"}',
      "answered with JSON that has something else than an array of non-empty strings at '/groups'",
    ],
    [
      'a reserved key',
      200,
      json,
      '{"x":{"__entity":"secret"}}',
      "answered with JSON that holds the reserved key '__entity'",
    ],
  ])('with %s fails, and nothing of its answer is told', async (_what, status, headers, body, message) => {
    const server = await serve((_asked, response) => response.writeHead(status, headers).end(body));
    const users = await source(`${server.origin}/{id}?key=secret`);
    const error: unknown = await users.fetch('corp/a', NEVER).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ name: 'PdpError', reason: 'attribute_unavailable', message });
    expect(`${JSON.stringify(error)}${String((error as Error).cause)}${log.text()}`).not.toContain('secret');
  });

  test('by not speaking HTTP fails', async () => {
    const server = createServer((socket) => {
      socket.on('error', () => undefined).end('220 mail.example\r\n', () => socket.destroy());
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const users = await source(`http://127.0.0.1:${(server.address() as AddressInfo).port}/{id}`);
    await expect(users.fetch('corp/a', NEVER)).rejects.toThrow('did not answer in HTTP');
    await new Promise((resolve) => server.close(resolve));
  });

  test('by not being there fails', async () => {
    const users = await source(`http://127.0.0.1:${await freePort()}/{id}`);
    await expect(users.fetch('corp/a', NEVER)).rejects.toMatchObject({
      reason: 'attribute_unavailable',
      message: 'refused the connection',
    });
  });

  test('by hanging up fails, and is asked again over another connection', async () => {
    const server = await serve((_asked, response) => response.socket?.destroy());
    const users = await source(`${server.origin}/{id}`);
    await expect(users.fetch('corp/a', NEVER)).rejects.toThrow('closed the connection');
    server.behave(answering(FACTS));
    expect(await users.fetch('corp/a', NEVER)).toEqual(FOUND);
  });

  test('by promising more than it sends fails', async () => {
    const server = await serve((_asked, response) => {
      response.writeHead(200, { ...json, 'content-length': '100' });
      response.write('{');
      setImmediate(() => response.socket?.destroy());
    });
    const users = await source(`${server.origin}/{id}`);
    await expect(users.fetch('corp/a', NEVER)).rejects.toMatchObject({ reason: 'attribute_unavailable' });
  });

  test("slowly is left with the caller's own reason", async () => {
    const server = await serve(() => undefined);
    const users = await source(`${server.origin}/{id}`);
    const caller = new AbortController();
    const fetched = users.fetch('corp/a', caller.signal);
    await eventually('the server is asked', () => server.asked[0]);
    const reason = new Error('deadline');
    caller.abort(reason);
    await expect(fetched).rejects.toBe(reason);
  });

  test('is told by the statuses that are configured as absence', async () => {
    const server = await serve((_asked, response) => response.writeHead(404).end());
    const users = await source(`${server.origin}/{id}`, { absentStatuses: [204] });
    await expect(users.fetch('corp/a', NEVER)).rejects.toThrow('answered with status 404');
  });
});

describe('a server behind what keeps it from doing harm', () => {
  async function guarded(
    server: FactsServer,
    path: string,
    settings: Partial<RemoteSettings> = {},
    options: Partial<HttpSourceOptions> = {},
  ) {
    const clock = createManualClock();
    const users = await source(`${server.origin}${path}`, options);
    const around = remote(
      users,
      { ...SETTINGS, timeoutMs: 5_000, ...settings },
      { clock, log, random: () => 0 },
    );
    return { clock, lookup: async (id: string) => await around.lookup(id, { signal: NEVER }) };
  }

  test('is asked once by a thousand who want the same, and then by the entity tag', async () => {
    const server = await serve(answering(FACTS, { etag: '"v1"' }));
    const { clock, lookup } = await guarded(server, '/{id}', { freshMs: 1_000 });
    const answers = await Promise.all(Array.from({ length: 1_000 }, () => lookup('corp/a')));
    expect(new Set(answers).size).toBe(1);
    expect(server.asked).toHaveLength(1);
    clock.advance(2_000);
    server.behave((asked, response) =>
      response.writeHead(asked.headers['if-none-match'] === '"v1"' ? 304 : 500).end(),
    );
    expect(await lookup('corp/a')).toMatchObject({ attributes: FOUND.attributes, groups: FOUND.groups });
    expect(server.asked).toHaveLength(2);
  });

  test('is not given up for ids that it cannot be asked about', async () => {
    const server = await serve(answering(FACTS));
    const { lookup } = await guarded(server, '/users/{name}', { breaker: { failures: 2, pauseMs: 60_000 } });
    for (let index = 0; index < 10; index += 1)
      await expect(lookup('corp/..')).rejects.toThrow('is not asked: the id would change the path');
    expect(await lookup('corp/alice')).toMatchObject({ status: 'found' });
  });

  test('answers for the others, however wrongly it answers for one', async () => {
    const wrong = ['not json', '[]', '{"department":1.5}', `"${'x'.repeat(70_000)}"`];
    const server = await serve((asked, response) => {
      const body = asked.url.endsWith('alice') ? JSON.stringify(FACTS) : (wrong.pop() ?? '{');
      response.writeHead(wrong.length === 2 ? 403 : 200, { 'content-type': 'application/json' }).end(body);
    });
    const { lookup } = await guarded(server, '/{name}', { breaker: { failures: 2, pauseMs: 60_000 } });
    for (let index = 0; index < 8; index += 1)
      await expect(lookup('corp/mallory')).rejects.toThrow('answered with');
    expect(await lookup('corp/alice')).toMatchObject({ status: 'found' });
  });

  test('does not keep from others whom it does not know, while it is given up', async () => {
    const server = await serve((_asked, response) => response.writeHead(500).end());
    const breaker = { failures: 2, pauseMs: 60_000 };
    const { lookup } = await guarded(server, '/{name}', { breaker }, { issuer: 'corp' });
    for (let index = 0; index < 3; index += 1) {
      await expect(lookup('corp/alice')).rejects.toThrow();
      expect(await lookup(`partner/${index}`)).toMatchObject({ status: 'absent' });
    }
    expect(server.asked).toHaveLength(2);
  });

  test('is given up for a while where it keeps failing', async () => {
    const server = await serve((_asked, response) => response.writeHead(500).end());
    const { lookup } = await guarded(server, '/{id}', { breaker: { failures: 2, pauseMs: 60_000 } });
    for (let index = 0; index < 2; index += 1)
      await expect(lookup('corp/a')).rejects.toThrow('answered with status 500');
    await expect(lookup('corp/a')).rejects.toThrow(
      /^is not asked for a while because it keeps failing.*answered with status 500/,
    );
    expect(server.asked).toHaveLength(2);
  });
});

describe('secrets for a server', () => {
  test('come from files, and are followed as they rotate', async () => {
    const server = await serve(answering(FACTS));
    const token = await secretFile('token', 'first.token\n');
    const key = await secretFile('key', 'api key 1');
    const users = await source(`${server.origin}/{id}`, {
      credentials: { token, headers: new Map([['x-api-key', key]]) },
      headers: { 'x-tenant': 'a' },
    });
    await users.fetch('corp/a', NEVER);
    expect(lastAsked(server).headers).toMatchObject({
      authorization: 'Bearer first.token',
      'x-api-key': 'api key 1',
      'x-tenant': 'a',
    });
    await writeFile(token, 'second.token');
    await eventually('the new token is used', async () => {
      await users.fetch('corp/a', NEVER);
      return lastAsked(server).headers.authorization === 'Bearer second.token' ? true : undefined;
    });
  });

  test('that cannot be right are refused, and those held stay', async () => {
    const server = await serve(answering(FACTS));
    const token = await secretFile('token', 'first.token');
    const users = await source(`${server.origin}/{id}`, { credentials: { token } });
    for (const [content, problem] of [
      ['two\nlines', 'does not hold one line'],
      [undefined, 'does not exist'],
    ] as const) {
      await (content === undefined ? rm(token) : writeFile(token, content));
      await eventually('it is noticed', () => (log.text().includes(problem) ? true : undefined));
      await users.fetch('corp/a', NEVER);
      expect(lastAsked(server).headers.authorization).toBe('Bearer first.token');
    }
    expect(log.text()).not.toMatch(/two|first\.token/);
  });

  test.each<[string, string | undefined, RegExp]>([
    ['missing', undefined, /the file does not exist/],
    ['empty', '', /does not hold one line/],
    ['of several lines', 'sec\nret', /does not hold one line/],
    ['not of the form of a token', 'sec ret', /does not hold one line/],
  ])('that are %s at the start are refused, and not told', async (_what, content, problem) => {
    const token = content === undefined ? join(folder, 'none') : await secretFile('token', content);
    const error: unknown = await source('http://localhost:1/{id}', { credentials: { token } }).catch(
      (thrown: unknown) => thrown,
    );
    expect(error).toMatchObject({ name: 'InputError', message: expect.stringMatching(problem) as string });
    expect(String(error)).not.toMatch(/sec\s?ret/);
  });
});

describe('a server over TLS', () => {
  let ca: TestCa;
  let other: TestCa;
  let served: Leaf;

  beforeAll(async () => {
    [ca, other] = await Promise.all([createTestCa('facts.example'), createTestCa('other.example')]);
    served = await ca.issue({ spiffeId: 'spiffe://facts.example/server', dns: ['localhost'] });
  });

  afterAll(async () => {
    await ca[Symbol.asyncDispose]();
    await other[Symbol.asyncDispose]();
  });

  test('is trusted by the authorities of the file, and by none of the public ones then', async () => {
    const server = await serve(answering(FACTS), { cert: served.cert, key: served.key });
    const trusting = await source(`${server.origin}/{id}`, { credentials: { ca: ca.bundleFile } });
    expect(await trusting.fetch('corp/a', NEVER)).toEqual(FOUND);
    for (const credentials of [{}, { ca: other.bundleFile }]) {
      const users = await source(`${server.origin}/{id}`, { credentials });
      await expect(users.fetch('corp/a', NEVER)).rejects.toThrow(/^showed a certificate that is not trusted/);
    }
    expect(server.asked).toHaveLength(1);
  });

  test('is not trusted for another host', async () => {
    const elsewhere = await ca.issue({ spiffeId: 'spiffe://facts.example/x', dns: ['elsewhere.example'] });
    const server = await serve(answering(FACTS), { cert: elsewhere.cert, key: elsewhere.key });
    const users = await source(`${server.origin}/{id}`, { credentials: { ca: ca.bundleFile } });
    await expect(users.fetch('corp/a', NEVER)).rejects.toThrow('showed a certificate for another host');
  });

  test('is not trusted with an expired certificate', async () => {
    const expired = await ca.issue({
      spiffeId: 'spiffe://facts.example/x',
      dns: ['localhost'],
      lifetimeMs: -1_000,
    });
    const server = await serve(answering(FACTS), { cert: expired.cert, key: expired.key });
    const users = await source(`${server.origin}/{id}`, { credentials: { ca: ca.bundleFile } });
    await expect(users.fetch('corp/a', NEVER)).rejects.toThrow('showed a certificate that has expired');
  });

  async function mutual(): Promise<FactsServer> {
    const options = {
      cert: served.cert,
      key: served.key,
      ca: ca.bundle,
      requestCert: true,
      rejectUnauthorized: true,
    };
    return await serve(answering(FACTS), options);
  }

  test('is shown our certificate, and refuses whoever has none', async () => {
    const server = await mutual();
    const { certFile: cert, keyFile: key } = await ca.issue({ spiffeId: 'spiffe://facts.example/pdp' });
    const users = await source(`${server.origin}/{id}`, { credentials: { ca: ca.bundleFile, cert, key } });
    expect(await users.fetch('corp/a', NEVER)).toEqual(FOUND);
    const nobody = await source(`${server.origin}/{id}`, { credentials: { ca: ca.bundleFile } });
    await expect(nobody.fetch('corp/a', NEVER)).rejects.toMatchObject({ reason: 'attribute_unavailable' });
  });

  test('is shown our new certificate when both of its files are written, and the old one until then', async () => {
    const server = await mutual();
    const [first, second] = [
      await ca.issue({ spiffeId: 'spiffe://facts.example/pdp' }),
      await other.issue({ spiffeId: 'spiffe://other.example/pdp' }),
    ];
    const cert = await secretFile('cert.pem', first.cert);
    const key = await secretFile('key.pem', first.key);
    const users = await source(`${server.origin}/{id}`, { credentials: { ca: ca.bundleFile, cert, key } });
    await users.fetch('corp/a', NEVER);
    await writeFile(cert, second.cert);
    await eventually('the half-written pair is noticed', () =>
      log.text().includes("is not the certificate's private key") ? true : undefined,
    );
    expect(await users.fetch('corp/a', NEVER)).toEqual(FOUND);
    const before = server.connections;
    server.secure({ cert: served.cert, key: served.key, ca: other.bundle });
    await writeFile(key, second.key);
    await eventually('the new pair is taken', () =>
      log.text().includes('credentials changed') ? true : undefined,
    );
    expect(await users.fetch('corp/a', NEVER)).toEqual(FOUND);
    expect(server.connections).toBeGreaterThan(before);
    expect(log.text()).not.toContain('PRIVATE');
  });

  test('is not asked with files that are no certificates', async () => {
    const bad = await secretFile('bad.pem', 'secret');
    await expect(source('https://localhost:1/{id}', { credentials: { ca: bad } })).rejects.toThrow(
      /does not hold certificates in PEM/,
    );
    const { keyFile: key } = await ca.issue({ spiffeId: 'spiffe://facts.example/pdp' });
    await expect(source('https://localhost:1/{id}', { credentials: { cert: bad, key } })).rejects.toThrow(
      /does not hold certificates in PEM/,
    );
  });
});
