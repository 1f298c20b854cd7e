import { once } from 'node:events';
import http2 from 'node:http2';
import { Metadata, credentials } from '@grpc/grpc-js';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { InFlight } from '../../../src/api/in-flight.ts';
import { type GrpcServerOptions, startGrpcServer } from '../../../src/api/grpc-server.ts';
import type { Clock } from '../../../src/pdp/ports.ts';
import { MACHINE_CLOCK, createManualClock } from '../../support/clock.ts';
import { eventually } from '../../support/eventually.ts';
import { EXT_AUTHZ_TYPES, checkRequestBytes } from '../../support/requests.ts';
import { type Leaf, type TestCa, createTestCa } from '../../support/test-ca.ts';
import { createSpiffeMatcher } from '../../../src/pip/spiffe/spiffe-matcher.ts';
import { type TestTrust, bundlesOf, createTestTrust, svidOf } from '../../support/svids.ts';
import { setUp } from '../pdp/decision-point.ts';
import { decisionServiceOf } from './decision-service/fixture.ts';
import { OnStreams } from './ext-authz/on-streams.ts';
import { connect } from './grpc-client.ts';

const ENVOY = 'spiffe://prod.example.com/ns/mesh/sa/envoy';
let ca: TestCa;
let otherCa: TestCa;
let server: Leaf;

beforeAll(async () => {
  ca = await createTestCa('prod.example.com');
  otherCa = await createTestCa('prod.example.com');
  server = await ca.issue({ spiffeId: 'spiffe://prod.example.com/ns/pdp/sa/pdp', dns: ['pdp.test'] });
});
afterAll(async () => {
  await ca[Symbol.asyncDispose]();
  await otherCa[Symbol.asyncDispose]();
});

interface Setup extends Partial<GrpcServerOptions> {
  /** The allow list; plaintext where not given. */
  readonly allow?: readonly string[];
  readonly trust?: TestTrust;
  readonly maxConnectionAgeMs?: number;
  /** Of the service; the machine's where not given. */
  readonly clock?: Clock;
}

async function serve({
  allow,
  trust: given,
  clock = MACHINE_CLOCK,
  maxConnectionAgeMs = 60_000,
  ...options
}: Setup = {}) {
  const fixture = setUp({ clock });
  const service = new OnStreams({
    decisionPoint: fixture.point,
    clock,
    types: EXT_AUTHZ_TYPES,
    encoding: { realm: 'test', faultsAsError: false },
    plaintext: allow === undefined,
    timeoutMs: 1000,
    inFlight: new InFlight(10),
    maxRequestBytes: 1024 * 1024,
    onEncoded: () => undefined,
    onFault: () => undefined,
  });
  const trust = given ?? createTestTrust(server, bundlesOf(ca));
  const matcher = createSpiffeMatcher(allow ?? []);
  const grpc = await startGrpcServer(service, {
    address: '127.0.0.1:0',
    maxReceiveBytes: 65_536,
    decisions: decisionServiceOf(fixture, { clock }),
    ...(allow && { tls: { trust, allows: (caller) => matcher.matches(caller), maxConnectionAgeMs } }),
    ...options,
  });
  onTestFinished(() => grpc.stop(100));
  return { ...fixture, grpc, trust };
}

function as(address: string, leaf?: Leaf, roots = ca.bundle) {
  const channel = leaf
    ? credentials.createSsl(Buffer.from(roots), Buffer.from(leaf.key), Buffer.from(leaf.cert))
    : credentials.createSsl(Buffer.from(roots));
  const client = connect(address, channel, true);
  onTestFinished(() => client[Symbol.dispose]());
  return client;
}

describe('over mutual TLS', () => {
  const allow = [ENVOY];

  test('a caller on the allow list is answered, and named in the record', async () => {
    const { grpc, records } = await serve({ allow });
    const client = as(grpc.address, await ca.issue({ spiffeId: ENVOY }));
    expect((await client.check(checkRequestBytes())).allowed).toBe(true);
    expect(records[0]?.pep.workload?.id).toBe(ENVOY);
    expect(records[0]?.pep.provenUntil).toBeGreaterThan(Date.now());
  });

  test('calls of one connection share what was verified when it was made', async () => {
    const { grpc, records, trust } = await serve({ allow });
    const client = as(grpc.address, await ca.issue({ spiffeId: ENVOY }));
    for (let call = 0; call < 3; call += 1) await client.check(checkRequestBytes());
    expect(new Set(records.map(({ pep }) => pep.workload)).size).toBe(1);
    expect(trust.refused).toEqual([]);
  });

  test('connections side by side are not taken for one another', async () => {
    const { grpc, records } = await serve({ allow });
    const others = ['a', 'b', 'c'].map((name) => `spiffe://prod.example.com/ns/mesh/sa/${name}`);
    const clients = await Promise.all(
      [ENVOY, ...others].map(async (spiffeId) => as(grpc.address, await ca.issue({ spiffeId }))),
    );
    const answers = await Promise.all(clients.map((client) => client.check(checkRequestBytes())));
    expect(answers.map(({ allowed }) => allowed)).toEqual([true, false, false, false]);
    expect(new Set(records.map(({ pep }) => pep.workload?.id))).toEqual(new Set([ENVOY, ...others]));
  });

  test.each([
    ['another workload', 'spiffe://prod.example.com/ns/mesh/sa/other'],
    ['a name that only begins like an allowed one', `${ENVOY}-2`],
    ['a name below an allowed one', `${ENVOY}/x`],
  ])('%s is denied, and recorded with its name', async (_who, spiffeId) => {
    const { grpc, records } = await serve({ allow });
    const client = as(grpc.address, await ca.issue({ spiffeId }));
    expect(await client.check(checkRequestBytes())).toMatchObject({
      allowed: false,
      httpStatus: 403,
      metadata: { reason: 'caller_not_allowed' },
    });
    expect(records).toMatchObject([
      { pep: { workload: { id: spiffeId } }, decision: { reason: 'caller_not_allowed' } },
    ]);
    expect(records[0]).not.toHaveProperty('request');
  });

  test('a pattern allows what is below its path, by whole segments', async () => {
    const { grpc } = await serve({ allow: ['spiffe://prod.example.com/ns/mesh/*'] });
    const answer = async (spiffeId: string) =>
      (await as(grpc.address, await ca.issue({ spiffeId })).check(checkRequestBytes())).allowed;
    expect(await answer(ENVOY)).toBe(true);
    expect(await answer('spiffe://prod.example.com/ns/mesh-2/sa/envoy')).toBe(false);
  });

  test('a partner of another trust domain is answered when it is trusted and on the list', async () => {
    await using partner = await createTestCa('partner.example.org');
    const spiffeId = 'spiffe://partner.example.org/ns/mesh/sa/envoy';
    const { grpc } = await serve({
      allow: [spiffeId],
      trust: createTestTrust(server, bundlesOf(ca, partner)),
    });
    const client = as(grpc.address, await partner.issue({ spiffeId }));
    expect((await client.check(checkRequestBytes())).allowed).toBe(true);
  });

  test('an empty allow list means nobody', async () => {
    const { grpc } = await serve({ allow: [] });
    const client = as(grpc.address, await ca.issue({ spiffeId: ENVOY }));
    expect(await client.check(checkRequestBytes())).toMatchObject({
      metadata: { reason: 'caller_not_allowed' },
    });
  });

  test('a caller whose certificate expires while its connection lives is denied, in words', async () => {
    // The listener's clock stands still, so that it does not end the connection in time.
    const trust = createTestTrust(server, bundlesOf(ca), createManualClock(Date.now() - 60_000));
    const { grpc, records } = await serve({ allow, trust });
    const client = as(grpc.address, await ca.issue({ spiffeId: ENVOY, lifetimeMs: 1000 }));
    await eventually('a deny', async () =>
      (await client.check(checkRequestBytes())).allowed ? undefined : true,
    );
    expect(records.at(-1)).toMatchObject({
      pep: { workload: { id: ENVOY } },
      decision: {
        reason: 'caller_not_allowed',
        detail: expect.stringMatching(/expired at 20.*while its connection lived/),
      },
    });
  });

  test('a call that ends before its message is complete is recorded with the name of its caller', async () => {
    const { grpc, records } = await serve({ allow });
    const leaf = await ca.issue({ spiffeId: ENVOY });
    const session = http2.connect(`https://${grpc.address}`, {
      cert: leaf.cert,
      key: leaf.key,
      rejectUnauthorized: false,
    });
    onTestFinished(() => session.destroy());
    const stream = session.request({
      ':method': 'POST',
      ':path': '/envoy.service.auth.v3.Authorization/Check',
      'content-type': 'application/grpc',
    });
    stream.on('error', () => undefined);
    stream.write(Buffer.from([0, 0]));
    await once(session, 'remoteSettings');
    stream.close();
    await eventually('a record', () => records[0]);
    expect(records).toMatchObject([{ pep: { workload: { id: ENVOY } }, decision: { reason: 'cancelled' } }]);
  });

  test('a caller who may ask nothing cannot leave us with messages that never end', async () => {
    const { grpc, records } = await serve({ allow: [] });
    const { cert, key } = await ca.issue({ spiffeId: ENVOY });
    const session = http2.connect(`https://${grpc.address}`, { cert, key, rejectUnauthorized: false });
    onTestFinished(() => session.destroy());
    const streams = ['grpc.health.v1.Health/Check', 'grpc.health.v1.Health/Watch'].map((method) =>
      session.request({ ':method': 'POST', ':path': `/${method}`, 'content-type': 'application/grpc' }),
    );
    for (const stream of streams) {
      stream.on('error', () => undefined).resume();
      stream.write(Buffer.from([0, 0, 0, 8, 0, 1]));
    }
    await Promise.all(streams.map((stream) => once(stream, 'close')));
    expect(session.remoteSettings.maxConcurrentStreams).toBe(1000);
    expect(records).toEqual([]);
  });

  test.each<[string, string, (foreign: TestCa) => Promise<Leaf | undefined>]>([
    ['no certificate', 'missing', () => Promise.resolve(undefined)],
    ['a certificate of another CA of that name', 'chain', () => otherCa.issue({ spiffeId: ENVOY })],
    ['an expired certificate', 'expired', () => ca.issue({ spiffeId: ENVOY, lifetimeMs: -1000 })],
    [
      'a certificate that is not valid yet',
      'not_yet_valid',
      () => ca.issue({ spiffeId: ENVOY, notBefore: Date.now() + 600_000 }),
    ],
    [
      'a certificate that may sign certificates',
      'key_usage',
      () => ca.issue({ spiffeId: ENVOY, keyUsage: ['digitalSignature', 'keyCertSign'] }),
    ],
    [
      'a certificate with two SPIFFE IDs',
      'spiffe_id',
      () => ca.issue({ spiffeId: ENVOY, uris: [ENVOY, `${ENVOY}-2`] }),
    ],
    [
      'a certificate of a trust domain that is not trusted',
      'trust_domain',
      () => ca.issue({ spiffeId: ENVOY.replace('prod', 'evil') }),
    ],
    [
      "a certificate of one trust domain that another one's CA signed, both trusted",
      'trust_domain',
      (foreign) => foreign.issue({ spiffeId: ENVOY }),
    ],
    [
      'the trust domain itself as its name',
      'spiffe_id',
      () => ca.issue({ spiffeId: 'spiffe://prod.example.com' }),
    ],
  ])('a caller with %s is not even connected', async (_what, cause, leaf) => {
    await using foreign = await createTestCa('partner.example.org');
    const { grpc, records, trust } = await serve({
      allow: ['spiffe://prod.example.com/*', 'spiffe://evil.example.com/*'],
      trust: createTestTrust(server, bundlesOf(ca, foreign)),
    });
    const client = as(grpc.address, await leaf(foreign));
    await expect(client.check(checkRequestBytes(), { deadlineMs: 1000 })).rejects.toThrow(
      /UNAVAILABLE|DEADLINE_EXCEEDED/,
    );
    expect(records).toEqual([]);
    expect(trust.refused[0]).toEqual({ surface: 'grpc', cause });
    expect(trust.lines[0]).toMatchObject({ fields: { surface: 'grpc', cause } });
  });

  test('a caller in plaintext is not even connected', async () => {
    const { grpc, records } = await serve({ allow });
    const client = connect(grpc.address);
    onTestFinished(() => client[Symbol.dispose]());
    await expect(client.check(checkRequestBytes(), { deadlineMs: 1000 })).rejects.toThrow(
      /UNAVAILABLE|DEADLINE_EXCEEDED/,
    );
    expect(records).toEqual([]);
  });

  test('does not start while no SVID is held', async () => {
    const trust = createTestTrust(server, bundlesOf(ca));
    trust.svids.hold({ bundles: bundlesOf(ca) });
    await expect(serve({ allow, trust })).rejects.toThrow(/grpc surface has no SVID/);
  });

  test('asks callers to connect anew at the age of the connection, without a failed call', async () => {
    const { grpc, records } = await serve({ allow, maxConnectionAgeMs: 50 });
    const client = as(grpc.address, await ca.issue({ spiffeId: ENVOY }));
    const peers = () => new Set(records.map(({ pep }) => pep.address));
    await eventually('three connections', async () => {
      expect((await client.check(checkRequestBytes())).allowed).toBe(true);
      return peers().size >= 3 ? true : undefined;
    });
  });

  test('asks callers to connect anew before their certificate expires', async () => {
    const { grpc, records } = await serve({ allow });
    const client = as(grpc.address, await ca.issue({ spiffeId: ENVOY, lifetimeMs: 4000 }));
    await eventually('another connection', async () => {
      expect((await client.check(checkRequestBytes())).allowed).toBe(true);
      return new Set(records.map(({ pep }) => pep.address)).size > 1 ? true : undefined;
    });
  });

  test('serves with a new SVID from the next handshake on, and connections that are open live on', async () => {
    const { grpc, records, trust } = await serve({ allow });
    const leaf = await ca.issue({ spiffeId: ENVOY });
    const before = as(grpc.address, leaf);
    await before.check(checkRequestBytes());
    const successor = await createTestCa('prod.example.com');
    onTestFinished(() => successor[Symbol.asyncDispose]());
    const next = await successor.issue({ spiffeId: server.spiffeId, dns: ['pdp.test'] });
    trust.svids.hold({ svid: svidOf(next), bundles: bundlesOf(ca, successor) });
    const after = as(grpc.address, await successor.issue({ spiffeId: ENVOY }), successor.bundle);
    expect((await after.check(checkRequestBytes())).allowed).toBe(true);
    expect((await before.check(checkRequestBytes())).allowed).toBe(true);
    expect(records[2]?.pep.address).toBe(records[0]?.pep.address);
  });

  test('cuts the connections of a CA that is taken out of its bundle, and of a trust domain whose bundle is gone', async () => {
    await using partner = await createTestCa('partner.example.org');
    await using old = await createTestCa('prod.example.com');
    const { grpc, trust } = await serve({
      allow: ['spiffe://prod.example.com/*', 'spiffe://partner.example.org/*'],
      trust: createTestTrust(server, bundlesOf(ca, old, partner)),
    });
    const spiffeId = 'spiffe://partner.example.org/ns/mesh/sa/envoy';
    const staying = as(grpc.address, await ca.issue({ spiffeId: ENVOY }));
    const going = [
      as(grpc.address, await old.issue({ spiffeId: ENVOY })),
      as(grpc.address, await partner.issue({ spiffeId })),
    ];
    for (const client of [staying, ...going])
      expect((await client.check(checkRequestBytes())).allowed).toBe(true);
    trust.svids.hold({ svid: svidOf(server), bundles: bundlesOf(ca) });
    for (const client of going)
      await expect(client.check(checkRequestBytes(), { deadlineMs: 1000 })).rejects.toThrow(
        /UNAVAILABLE|DEADLINE_EXCEEDED/,
      );
    expect(trust.refused.map(({ cause }) => cause)).toEqual(
      expect.arrayContaining(['chain', 'trust_domain']),
    );
    expect((await staying.check(checkRequestBytes())).allowed).toBe(true);
  });

  test('lets nobody in while no SVID is held any more, and says so', async () => {
    const { grpc, trust } = await serve({ allow });
    const bundles = bundlesOf(ca);
    trust.svids.hold({ bundles });
    const leaf = await ca.issue({ spiffeId: ENVOY });
    await expect(as(grpc.address, leaf).check(checkRequestBytes(), { deadlineMs: 1000 })).rejects.toThrow(
      /UNAVAILABLE|DEADLINE_EXCEEDED/,
    );
    expect(trust.refused[0]).toEqual({ surface: 'grpc', cause: 'no_identity' });
    trust.svids.hold({ svid: svidOf(server), bundles });
    expect((await as(grpc.address, leaf).check(checkRequestBytes())).allowed).toBe(true);
  });

  test('stops while calls finish, and cuts connections', async () => {
    const { grpc } = await serve({ allow });
    const client = as(grpc.address, await ca.issue({ spiffeId: ENVOY }));
    await client.check(checkRequestBytes());
    await Promise.all([grpc.stop(1000), grpc.stop(1000)]);
    await expect(client.check(checkRequestBytes(), { deadlineMs: 500 })).rejects.toThrow(
      /UNAVAILABLE|DEADLINE_EXCEEDED/,
    );
  });
});

describe('a server', () => {
  test('does not start on an address that is taken', async () => {
    const { grpc } = await serve();
    await expect(serve({ address: grpc.address })).rejects.toThrow();
  });

  test('tells health clients whether it serves, for itself and for the service', async () => {
    const { grpc } = await serve();
    const client = connect(grpc.address);
    onTestFinished(() => client[Symbol.dispose]());
    const status = async (service: string) => {
      const request = Buffer.concat([Buffer.from([0x0a, service.length]), Buffer.from(service)]);
      return (await client.unary('/grpc.health.v1.Health/Check', request))[1];
    };
    for (const service of ['', 'envoy.service.auth.v3.Authorization']) {
      expect(await status(service)).toBe(2);
      grpc.setServing(true);
      expect(await status(service)).toBe(1);
      grpc.setServing(false);
    }
    await expect(status('unknown.Service')).rejects.toThrow(/NOT_FOUND/);
  });

  test('tells health watchers of every change', async () => {
    const { grpc } = await serve();
    const client = connect(grpc.address);
    const seen: number[] = [];
    const asIs = (bytes: Buffer) => bytes;
    const watch = client.client.makeServerStreamRequest(
      '/grpc.health.v1.Health/Watch',
      asIs,
      asIs,
      Buffer.alloc(0),
      new Metadata(),
    );
    watch.on('error', () => undefined);
    onTestFinished(() => {
      watch.cancel();
      client[Symbol.dispose]();
    });
    const next = async (change?: () => void) => {
      const came = new Promise<void>(
        (resolve) => void watch.once('data', (bytes: Buffer) => resolve(void seen.push(bytes[1] ?? 0))),
      );
      change?.();
      await came;
    };
    await next();
    await next(() => grpc.setServing(true));
    await next(() => grpc.setServing(false));
    expect(seen).toEqual([2, 1, 2]);
  });

  test('lists its service by reflection', async () => {
    const { grpc } = await serve();
    const client = connect(grpc.address);
    onTestFinished(() => client[Symbol.dispose]());
    const asIs = (bytes: Buffer) => bytes;
    const stream = client.client.makeBidiStreamRequest(
      '/grpc.reflection.v1.ServerReflection/ServerReflectionInfo',
      asIs,
      asIs,
    );
    stream.on('error', () => undefined);
    const answer = new Promise<Buffer>((resolve) => void stream.once('data', resolve));
    // list_services = 7, any string.
    stream.write(Buffer.from([0x3a, 1, 0x2a]));
    expect((await answer).toString()).toContain('envoy.service.auth.v3.Authorization');
    stream.end();
  });

  test('stops while calls finish, and can be told so twice', async () => {
    const { grpc } = await serve();
    await Promise.all([grpc.stop(1000), grpc.stop(1000)]);
    await grpc.stop(1000);
  });
});
