import { readFile } from 'node:fs/promises';
import { Metadata, credentials } from '@grpc/grpc-js';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import type { CallerRule } from '../../../src/api/caller.ts';
import { ExtAuthzService } from '../../../src/api/ext-authz/service.ts';
import { type GrpcServerOptions, startGrpcServer } from '../../../src/api/grpc-server.ts';
import { MACHINE_CLOCK } from '../../support/clock.ts';
import { EXT_AUTHZ_TYPES, checkRequestBytes } from '../../support/requests.ts';
import { type Leaf, type TestCa, createTestCa } from '../../support/test-ca.ts';
import { parseSpiffeId } from '../../../src/pip/spiffe-id.ts';
import { setUp } from '../pdp/decision-point.ts';
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

async function serve(callers?: CallerRule, options: Partial<GrpcServerOptions> = {}) {
  const fixture = setUp({ clock: MACHINE_CLOCK });
  const service = new ExtAuthzService({
    decisionPoint: fixture.point,
    clock: MACHINE_CLOCK,
    types: EXT_AUTHZ_TYPES,
    encoding: { realm: 'test', faultsAsError: false },
    timeoutMs: 1000,
    maxInFlight: 10,
    maxRequestBytes: 1024 * 1024,
    onEncoded: () => undefined,
    onFault: () => undefined,
    ...(callers && { callers }),
  });
  const tls = { certFile: server.certFile, keyFile: server.keyFile, caFile: ca.bundleFile };
  const grpc = await startGrpcServer(service, {
    address: '127.0.0.1:0',
    maxReceiveBytes: 65_536,
    ...(callers && { tls }),
    ...options,
  });
  onTestFinished(() => grpc.stop(100));
  return { ...fixture, grpc };
}

function parse(text: string) {
  const identity = parseSpiffeId(text);
  return 'invalid' in identity ? undefined : identity;
}

async function as(address: string, leaf?: Leaf, roots = ca.bundle) {
  const channel = leaf
    ? credentials.createSsl(Buffer.from(roots), await readFile(leaf.keyFile), await readFile(leaf.certFile))
    : credentials.createSsl(Buffer.from(roots));
  const client = connect(address, channel);
  onTestFinished(() => client[Symbol.dispose]());
  return client;
}

describe('over mutual TLS', () => {
  const rule: CallerRule = { trustDomain: 'prod.example.com', allow: [ENVOY], parse };

  test('a caller on the allow list is answered, and named in the record', async () => {
    const { grpc, records } = await serve(rule);
    const client = await as(grpc.address, await ca.issue({ spiffeId: ENVOY }));
    expect((await client.check(checkRequestBytes())).allowed).toBe(true);
    expect(records[0]?.pep.workload?.id).toBe(ENVOY);
  });

  test.each([
    ['another workload', 'spiffe://prod.example.com/ns/mesh/sa/other'],
    ['a name that only begins like an allowed one', `${ENVOY}-2`],
    ['a name below an allowed one', `${ENVOY}/x`],
    ['a namesake of another trust domain', ENVOY.replace('prod', 'evil')],
    ['a trust domain that only begins like ours', ENVOY.replace('prod.example.com', 'prod.example.com.evil')],
  ])('%s is denied, and recorded with its name', async (_who, spiffeId) => {
    const { grpc, records } = await serve(rule);
    const client = await as(grpc.address, await ca.issue({ spiffeId }));
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

  test('an empty allow list means nobody', async () => {
    const { grpc } = await serve({ ...rule, allow: [] });
    const client = await as(grpc.address, await ca.issue({ spiffeId: ENVOY }));
    expect(await client.check(checkRequestBytes())).toMatchObject({
      metadata: { reason: 'caller_not_allowed' },
    });
  });

  test('a listed name of a trust domain that the CA does not vouch for is denied', async () => {
    const foreign = 'spiffe://partner.example.org/ns/mesh/sa/envoy';
    const { grpc } = await serve({ ...rule, allow: [foreign] });
    const client = await as(grpc.address, await ca.issue({ spiffeId: foreign }));
    expect(await client.check(checkRequestBytes())).toMatchObject({
      metadata: { reason: 'caller_not_allowed' },
    });
  });

  test.each<[string, () => Promise<Leaf | undefined>]>([
    ['no certificate', () => Promise.resolve(undefined)],
    ['a certificate of another CA', () => otherCa.issue({ spiffeId: ENVOY })],
    ['an expired certificate', () => ca.issue({ spiffeId: ENVOY, lifetimeMs: -1000 })],
  ])('a caller with %s is not even connected', async (_what, leaf) => {
    const { grpc, records } = await serve(rule);
    const client = await as(grpc.address, await leaf());
    await expect(client.check(checkRequestBytes(), { deadlineMs: 1000 })).rejects.toThrow(
      /UNAVAILABLE|DEADLINE_EXCEEDED/,
    );
    expect(records).toEqual([]);
  });

  test('a caller in plaintext is not even connected', async () => {
    const { grpc, records } = await serve(rule);
    const client = connect(grpc.address);
    onTestFinished(() => client[Symbol.dispose]());
    await expect(client.check(checkRequestBytes(), { deadlineMs: 1000 })).rejects.toThrow(
      /UNAVAILABLE|DEADLINE_EXCEEDED/,
    );
    expect(records).toEqual([]);
  });

  test('does not start with files that cannot be used', async () => {
    await expect(
      serve(rule, { tls: { certFile: '/nowhere.pem', keyFile: server.keyFile, caFile: ca.bundleFile } }),
    ).rejects.toThrow(/ENOENT/);
  });
});

describe('a server', () => {
  test('does not start on an address that is taken', async () => {
    const { grpc } = await serve();
    await expect(serve(undefined, { address: grpc.address })).rejects.toThrow();
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
