import http2 from 'node:http2';
import { describe, expect, onTestFinished, test } from 'vitest';
import { type ExtAuthzParts, ExtAuthzService } from '../../../../src/api/ext-authz/service.ts';
import { InFlight } from '../../../../src/api/in-flight.ts';
import { startGrpcServer } from '../../../../src/api/grpc-server.ts';
import { MACHINE_CLOCK } from '../../../support/clock.ts';
import type { DecisionPoint } from '../../../../src/pdp/decide.ts';
import { PdpError } from '../../../../src/pdp/errors.ts';
import { eventually } from '../../../support/eventually.ts';
import { EXT_AUTHZ_TYPES, checkRequestBytes } from '../../../support/requests.ts';
import { type Setup, setUp } from '../../pdp/decision-point.ts';
import { decisionServiceOf } from '../decision-service/fixture.ts';
import { connect } from '../grpc-client.ts';

async function serve(setup: Setup = {}, parts: Partial<ExtAuthzParts> = {}) {
  const fixture = setUp({ clock: MACHINE_CLOCK, ...setup });
  const faults: unknown[] = [];
  const encodings: number[] = [];
  const service = new ExtAuthzService({
    decisionPoint: fixture.point,
    clock: MACHINE_CLOCK,
    types: EXT_AUTHZ_TYPES,
    encoding: { realm: 'test', faultsAsError: false },
    plaintext: true,
    timeoutMs: 1000,
    inFlight: new InFlight(10),
    maxRequestBytes: 64 * 1024,
    onEncoded: (microseconds) => void encodings.push(microseconds),
    onFault: (error) => void faults.push(error),
    ...parts,
  });
  const server = await startGrpcServer(service, {
    address: '127.0.0.1:0',
    maxReceiveBytes: 64 * 1024,
    decisions: decisionServiceOf(fixture),
  });
  const client = connect(server.address);
  onTestFinished(async () => {
    client[Symbol.dispose]();
    await server.stop(100);
  });
  const recorded = (count: number) =>
    eventually(
      `${count} records`,
      () => (fixture.records.length >= count ? fixture.records : undefined),
      3000,
    );
  return { ...fixture, service, server, client, faults, encodings, recorded };
}

/** A raw HTTP/2 request for a check: what a client does before, or instead of, sending a whole message. */
async function raw(
  address: string,
  headers: http2.OutgoingHttpHeaders,
  act: (stream: http2.ClientHttp2Stream) => void,
) {
  const session = http2.connect(`http://${address}`);
  onTestFinished(() => session.destroy());
  const stream = session.request({
    ':method': 'POST',
    ':path': '/envoy.service.auth.v3.Authorization/Check',
    'content-type': 'application/grpc',
    te: 'trailers',
    ...headers,
  });
  const answer: { status: string | undefined } = { status: undefined };
  stream.on('error', () => undefined);
  stream.on('response', (fields) => (answer.status = fields['grpc-status'] as string | undefined));
  stream.on('trailers', (fields) => (answer.status = fields['grpc-status'] as string | undefined));
  stream.on('end', () => stream.close());
  act(stream);
  await new Promise<void>((resolve) => void stream.once('close', () => resolve()).resume());
  return answer;
}

const frame = (bytes: Uint8Array, compressed = 0) => {
  const head = Buffer.alloc(5);
  head[0] = compressed;
  head.writeUInt32BE(bytes.length, 1);
  return Buffer.concat([head, bytes]);
};

describe('a check', () => {
  test('is answered with the id of its record', async () => {
    const { client, records, encodings, faults } = await serve();
    const answer = await client.check(checkRequestBytes());
    expect(answer).toMatchObject({
      allowed: true,
      httpStatus: 200,
      metadata: { decision: 'ALLOW', policies: ['all'] },
    });
    expect(records).toHaveLength(1);
    expect(answer.headers['x-pdp-decision-id']).toBe(records[0]?.id);
    expect(answer.metadata['decision_id']).toBe(records[0]?.id);
    expect(records[0]?.pep.address).toMatch(/^127\.0\.0\.1:\d+$/);
    expect(records[0]?.pep).not.toHaveProperty('spiffeId');
    expect(encodings).toHaveLength(1);
    expect(faults).toEqual([]);
  });

  test('that is garbage is a recorded deny over a successful RPC', async () => {
    const { client, records } = await serve();
    expect(await client.check(Buffer.from('garbage'))).toMatchObject({
      allowed: false,
      httpStatus: 400,
      metadata: { reason: 'request_malformed' },
    });
    expect(await client.check(Buffer.alloc(0))).toMatchObject({
      allowed: false,
      metadata: { reason: 'request_malformed' },
    });
    expect(records).toHaveLength(2);
  });

  test('carries the trace context of the call before that of the request', async () => {
    const { client, records } = await serve();
    const own = '00-11111111111111111111111111111111-2222222222222222-01';
    const theirs = ['traceparent', '00-33333333333333333333333333333333-4444444444444444-01'] as const;
    await client.check(checkRequestBytes({ headers: [theirs] }), { metadata: { traceparent: own } });
    await client.check(checkRequestBytes({ headers: [theirs] }));
    await client.check(checkRequestBytes({ headers: [theirs] }), { metadata: { traceparent: 'nonsense' } });
    await client.check(checkRequestBytes());
    expect(records.map(({ trace }) => trace?.traceId.slice(0, 2))).toEqual(['11', '33', '33', undefined]);
  });

  test('carries the request id, capped', async () => {
    const { client, records } = await serve();
    await client.check(checkRequestBytes({ headers: [['x-request-id', 'r'.repeat(500)]] }));
    expect(records[0]?.requestId).toBe('r'.repeat(128));
  });
});

describe('time', () => {
  test('is the lesser of the own limit and what the caller has left', async () => {
    const slow = (ms: number) => ({
      workload: { authenticate: () => ({}) },
      user: () => new Promise<undefined>((resolve) => void setTimeout(() => resolve(undefined), ms)),
    });
    const ours = await serve(slow(60), { timeoutMs: 20 });
    expect(await ours.client.check(checkRequestBytes(), { deadlineMs: 5000 })).toMatchObject({
      metadata: { reason: 'deadline_exceeded' },
    });
    const theirs = await serve(slow(600), { timeoutMs: 5000 });
    // Long enough to get there, on a busy machine too.
    await expect(theirs.client.check(checkRequestBytes(), { deadlineMs: 300 })).rejects.toThrow(
      /DEADLINE_EXCEEDED/,
    );
    const [record] = await theirs.recorded(1);
    expect(['deadline_exceeded', 'cancelled']).toContain(record?.decision.reason);
  });

  test('that the caller does not limit is our limit', async () => {
    const { server, recorded } = await serve();
    const { status } = await raw(server.address, {}, (stream) => stream.end(frame(checkRequestBytes())));
    expect(status).toBe('0');
    expect((await recorded(1))[0]?.decision.verdict).toBe('permit');
  });
});

describe('a call that ends early leaves one record', () => {
  test('when the caller cancels while we work', async () => {
    const [reached, cancelled] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    const { client, recorded } = await serve({
      user: async () => {
        reached.resolve();
        await cancelled.promise;
        return undefined;
      },
    });
    const controller = new AbortController();
    const calling = client.check(checkRequestBytes(), { signal: controller.signal });
    await reached.promise;
    controller.abort();
    await expect(calling).rejects.toThrow(/CANCELLED/);
    // It has left, and is yet to arrive.
    setTimeout(() => cancelled.resolve(), 100);
    expect((await recorded(1))[0]?.decision.reason).toBe('cancelled');
  });

  test.each<[string, http2.OutgoingHttpHeaders, (stream: http2.ClientHttp2Stream) => void]>([
    [
      'when it is reset before its message',
      {},
      (stream) => void setTimeout(() => stream.close(http2.constants.NGHTTP2_CANCEL), 10),
    ],
    ['when it is reset with its very headers', {}, (stream) => stream.close(http2.constants.NGHTTP2_CANCEL)],
    [
      'when it is reset within its message',
      {},
      (stream) =>
        stream.write(frame(checkRequestBytes()).subarray(0, 20), () =>
          stream.close(http2.constants.NGHTTP2_CANCEL),
        ),
    ],
    ['when it ends without a message', {}, (stream) => stream.end()],
    [
      'when it ends within its message',
      {},
      (stream) => stream.end(frame(checkRequestBytes()).subarray(0, 20)),
    ],
    [
      'when it holds two messages',
      {},
      (stream) => stream.end(Buffer.concat([frame(checkRequestBytes()), frame(checkRequestBytes())])),
    ],
    ['when its message is larger than taken', {}, (stream) => stream.end(frame(Buffer.alloc(300 * 1024)))],
    [
      'when its message claims to be larger than taken',
      {},
      (stream) => stream.end(Buffer.from([0, 0xff, 0xff, 0xff, 0xff, 1])),
    ],
    [
      'when its message is compressed, but not as it says',
      { 'grpc-encoding': 'gzip' },
      (stream) => stream.end(frame(Buffer.from('no gzip'), 1)),
    ],
    [
      'when its message is compressed in an unknown way',
      { 'grpc-encoding': 'br' },
      (stream) => stream.end(frame(checkRequestBytes(), 1)),
    ],
    ['when its message never ends', {}, (stream) => stream.write(frame(checkRequestBytes()).subarray(0, 20))],
    ['when its deadline has passed before its message', { 'grpc-timeout': '5m' }, () => undefined],
    [
      'when its deadline cannot be read',
      { 'grpc-timeout': 'soon' },
      (stream) => stream.end(frame(checkRequestBytes())),
    ],
  ])('%s', async (_when, headers, act) => {
    const { server, client, recorded, records } = await serve();
    const { status } = await raw(server.address, headers, act);
    // Whatever the caller sees, it is no OK.
    expect(status ?? 'reset').not.toBe('0');
    const [record] = await recorded(1);
    expect(record?.decision.verdict).toBe('deny');
    expect(record?.pep.address).toMatch(/^127\.0\.0\.1:\d+$/);
    // The next call is served, and nothing was recorded twice.
    expect((await client.check(checkRequestBytes())).allowed).toBe(true);
    expect(records).toHaveLength(2);
  });
});

test('a call that is reset once its message is complete leaves one record too, whatever it says', async () => {
  const { server, client, recorded, records } = await serve();
  await raw(server.address, {}, (stream) =>
    stream.write(frame(checkRequestBytes()), () => stream.close(http2.constants.NGHTTP2_CANCEL)),
  );
  await recorded(1);
  await client.check(checkRequestBytes());
  expect(records).toHaveLength(2);
});

test('a request that is longer than is decided on is a recorded deny, not an error of the call', async () => {
  const { client, records } = await serve();
  const answer = await client.check(Buffer.alloc(65 * 1024));
  expect(answer).toMatchObject({
    allowed: false,
    httpStatus: 400,
    metadata: { reason: 'request_malformed' },
  });
  expect(records[0]?.decision).toMatchObject({ detail: expect.stringContaining('larger than') as string });
});

test('a request id is recorded, however its name is written', async () => {
  const { client, records } = await serve();
  const bytes = checkRequestBytes({ headers: [['x-request-id', 'r-1']] });
  const capitals = Buffer.from(bytes);
  capitals.write('X-Request-Id', bytes.indexOf('x-request-id'));
  for (const each of [bytes, capitals]) await client.check(each);
  expect(records.map(({ requestId }) => requestId)).toEqual(['r-1', 'r-1']);
});

test('a request id that does not look like one is not recorded', async () => {
  const { client, records } = await serve();
  await client.check(checkRequestBytes({ headers: [['x-request-id', 'Bearer eyJhbGciOi J9']] }));
  expect(records[0]).not.toHaveProperty('requestId');
});

describe('too much at once', () => {
  test('is denied as overloaded, at once, and recorded; what is under way goes on', async () => {
    const gate = Promise.withResolvers<undefined>();
    const inFlight = new InFlight(3);
    const { client, records } = await serve({ user: () => gate.promise }, { inFlight });
    const held = [1, 2, 3].map(() => client.check(checkRequestBytes()));
    await eventually('three checks under way', () => (inFlight.count === 3 ? true : undefined));
    expect(await client.check(checkRequestBytes())).toMatchObject({
      allowed: false,
      httpStatus: 503,
      metadata: { reason: 'overloaded' },
    });
    gate.resolve(undefined);
    expect((await Promise.all(held)).every(({ allowed }) => allowed)).toBe(true);
    expect(inFlight.count).toBe(0);
    expect(records).toHaveLength(4);
  });

  test('says when to come again, and is counted by surface', async () => {
    const inFlight = new InFlight(0);
    const { client, records } = await serve({}, { inFlight });
    const answer = await client.check(checkRequestBytes());
    expect(answer.headers).toMatchObject({ 'retry-after': '1', 'cache-control': 'no-store' });
    expect(JSON.parse(answer.body)).toMatchObject({ status: 503, decision_id: records[0]?.id });
    expect(inFlight.turnedAway).toEqual(new Map([['ext_authz', 1]]));
    expect(inFlight.count).toBe(0);
  });

  test('is denied without a look at the question, whose bytes may be anything', async () => {
    const { client, records } = await serve({}, { inFlight: new InFlight(0) });
    expect(await client.check(Buffer.from([0xff]))).toMatchObject({ metadata: { reason: 'overloaded' } });
    expect(records[0]).toMatchObject({ turnedAway: true, stage: 'decode', surface: 'ext_authz' });
    expect(records[0]).not.toHaveProperty('request');
  });

  test('each has an answer and a record of its own, with the id of the other', async () => {
    const { client, records } = await serve({}, { inFlight: new InFlight(0) });
    const answers = await Promise.all(Array.from({ length: 50 }, () => client.check(checkRequestBytes())));
    const ids = answers.map(({ metadata }) => metadata['decision_id']);
    expect(new Set(ids).size).toBe(50);
    expect(new Set(records.map(({ id }) => id))).toEqual(new Set(ids));
  });

  test('is denied for want of a record where none can be written', async () => {
    const record = () => Promise.reject(new PdpError('audit_unavailable', 'no disk'));
    const { client } = await serve({ recorder: { record } }, { inFlight: new InFlight(0) });
    expect(await client.check(checkRequestBytes())).toMatchObject({
      allowed: false,
      httpStatus: 503,
      metadata: { reason: 'audit_unavailable' },
    });
  });

  test('is denied also where who observes fails', async () => {
    const observer = {
      checked: () => undefined,
      turnedAway: () => {
        throw new Error('bug');
      },
    };
    const { client } = await serve({ observer }, { inFlight: new InFlight(0) });
    expect(await client.check(checkRequestBytes())).toMatchObject({ metadata: { reason: 'overloaded' } });
  });
});

describe('where not even a decision can be made', () => {
  test.each<[string, DecisionPoint['decide']]>([
    ['a rejection', () => Promise.reject(new Error('bug'))],
    [
      'a throw',
      () => {
        throw new Error('bug');
      },
    ],
    ['nothing at all', () => Promise.resolve(undefined as never)],
  ])('%s is an explicit deny, and somebody is told', async (_what, decide) => {
    const inFlight = new InFlight(1);
    const { client, faults } = await serve(
      {},
      { decisionPoint: { decide, turnAway: decide as never, recall: () => undefined }, inFlight },
    );
    expect(await client.check(checkRequestBytes())).toMatchObject({
      allowed: false,
      httpStatus: 503,
      metadata: { reason: 'internal' },
    });
    expect(faults).toHaveLength(1);
    expect(inFlight.count).toBe(0);
  });
});
