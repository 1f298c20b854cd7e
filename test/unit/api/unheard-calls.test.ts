import { once } from 'node:events';
import http2 from 'node:http2';
import { Server, ServerCredentials, type ServerDuplexStream } from '@grpc/grpc-js';
import { describe, expect, onTestFinished, test } from 'vitest';
import { interceptUnheard } from '../../../src/api/unheard-calls.ts';
import { eventually } from '../../support/eventually.ts';
import { serve } from './decision-service/fixture.ts';

const METHODS = [
  '/grpc.health.v1.Health/Check',
  '/grpc.health.v1.Health/List',
  '/grpc.health.v1.Health/Watch',
  '/grpc.reflection.v1.ServerReflection/ServerReflectionInfo',
  '/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo',
] as const;
const RECORDED = [
  '/envoy.service.auth.v3.Authorization/Check',
  '/pdp.v1.DecisionService/Check',
  '/pdp.v1.DecisionService/BatchCheck',
  '/pdp.v1.DecisionService/Explain',
] as const;

/** HealthCheckRequest{} */
const EMPTY = Buffer.from([0, 0, 0, 0, 0]);
/** ServerReflectionRequest{list_services: "*"} */
const LIST_SERVICES = Buffer.from([0, 0, 0, 0, 3, 0x3a, 1, 0x2a]);

/** A call by hand, which no gRPC client would make; `status` once there is one, `closed` once nothing of it is left with the server. */
function call(address: string, path: string, headers: http2.OutgoingHttpHeaders = {}) {
  const session = http2.connect(`http://${address}`);
  onTestFinished(() => session.destroy());
  session.on('error', () => undefined);
  const stream = session.request({
    ':method': 'POST',
    ':path': path,
    'content-type': 'application/grpc',
    te: 'trailers',
    ...headers,
  });
  const seen = { status: undefined as unknown, closed: false, bytes: 0 };
  const look = (fields: http2.IncomingHttpHeaders) => (seen.status ??= fields['grpc-status']);
  stream.on('error', () => undefined);
  stream.on('response', look).on('trailers', look);
  stream.on('data', (chunk: Buffer) => (seen.bytes += chunk.length));
  stream.on('close', () => (seen.closed = true));
  return { stream, session, seen };
}

const closed = (seen: { readonly closed: boolean }) =>
  eventually('the end of the stream', () => (seen.closed ? true : undefined));

describe('a message that does not end in time', () => {
  test.each([...METHODS, ...RECORDED])('ends a call of %s, and its stream', async (path) => {
    const { server } = await serve({}, { timeoutMs: 50 });
    const { stream, seen } = call(server.address, path);
    stream.write(Buffer.from([0, 0, 0, 8, 0, 1, 2, 3]));
    await closed(seen);
    expect(seen.status).toBe('4');
  });

  test.each([...METHODS, ...RECORDED])(
    'is dropped with the stream of %s where the deadline was the caller’s own',
    async (path) => {
      const { server } = await serve();
      const { stream, seen } = call(server.address, path, { 'grpc-timeout': '30m' });
      stream.write(Buffer.from([0, 0, 0, 8, 0, 1, 2, 3]));
      await closed(seen);
      expect(seen.status).toBe('4');
    },
  );

  test.each([...METHODS, ...RECORDED])('that does not even begin ends a call of %s', async (path) => {
    const { server } = await serve({}, { timeoutMs: 50 });
    const { seen } = call(server.address, path);
    await closed(seen);
    expect(seen.status).toBe('4');
  });
});

describe('health and reflection', () => {
  test.each(METHODS)('take no message of more than 4 KiB on %s, whole or not', async (path) => {
    const { server } = await serve({}, { timeoutMs: 60_000 });
    const head = Buffer.from([0, 0, 1, 0, 0]);
    const unended = call(server.address, path);
    unended.stream.write(Buffer.concat([head, Buffer.alloc(5000)]));
    const whole = call(server.address, path);
    whole.stream.end(Buffer.concat([head, Buffer.alloc(65_536)]));
    await Promise.all([closed(unended.seen), closed(whole.seen)]);
    expect([unended.seen.status, whole.seen.status]).toEqual(['8', '8']);
  });

  test('answer in time', async () => {
    const { server } = await serve();
    const check = call(server.address, '/grpc.health.v1.Health/Check');
    check.stream.end(EMPTY);
    const reflection = call(server.address, METHODS[3]);
    reflection.stream.end(LIST_SERVICES);
    await Promise.all([closed(check.seen), closed(reflection.seen)]);
    expect([check.seen.status, reflection.seen.status]).toEqual(['0', '0']);
    expect(reflection.seen.bytes).toBeGreaterThan(50);
  });

  test('a Watch whose request has come goes on past the limit on its message', async () => {
    const { server } = await serve({}, { timeoutMs: 50 });
    const { stream, seen } = call(server.address, '/grpc.health.v1.Health/Watch');
    stream.end(EMPTY);
    const other = call(server.address, '/grpc.health.v1.Health/Check');
    await closed(other.seen);
    const before = seen.bytes;
    server.setServing(true);
    await eventually('the news', () => (seen.bytes > before ? true : undefined));
    expect(seen.status).toBeUndefined();
  });

  test('a reflection stream takes question after question, past the limit on the first', async () => {
    const { server } = await serve({}, { timeoutMs: 50 });
    const { stream, seen } = call(server.address, METHODS[3]);
    stream.write(LIST_SERVICES);
    await eventually('an answer', () => (seen.bytes > 0 ? true : undefined));
    const other = call(server.address, METHODS[0]);
    await closed(other.seen);
    const before = seen.bytes;
    stream.end(LIST_SERVICES);
    await closed(seen);
    expect(seen.bytes).toBe(2 * before);
    expect(seen.status).toBe('0');
  });
});

test('a stream of questions that waits too long for the next one is ended', async () => {
  const asIs = (bytes: Buffer) => bytes;
  const server = new Server({
    interceptors: [interceptUnheard([], { timeoutMs: 10_000, idleMs: 50, maxBytes: 4096 })],
  });
  const way = { requestStream: true, responseStream: true };
  const coding = {
    requestSerialize: asIs,
    requestDeserialize: asIs,
    responseSerialize: asIs,
    responseDeserialize: asIs,
  };
  server.addService(
    { Echo: { path: '/x/Echo', ...way, ...coding } },
    {
      Echo: (stream: ServerDuplexStream<Buffer, Buffer>) =>
        stream.on('data', (bytes: Buffer) => stream.write(bytes)),
    },
  );
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
      error ? reject(error) : resolve(bound),
    );
  });
  onTestFinished(() => server.forceShutdown());
  const { stream, seen } = call(`127.0.0.1:${port}`, '/x/Echo');
  stream.write(LIST_SERVICES);
  await closed(seen);
  expect(seen).toMatchObject({ status: '4', bytes: LIST_SERVICES.length });
});

test('a connection holds a thousand calls and no more', async () => {
  const { server } = await serve();
  const { session } = call(server.address, METHODS[2]);
  // Until the server's settings have come, `session.remoteSettings` tells the client's own guess of 100.
  const [settings] = (await once(session, 'remoteSettings')) as [http2.Settings];
  expect(settings.maxConcurrentStreams).toBe(1000);
});

test('a call that goes on and on is cut when the server has been stopped for long enough', async () => {
  const { server } = await serve();
  const { stream, seen } = call(server.address, '/grpc.health.v1.Health/Watch');
  stream.end(EMPTY);
  await eventually('an answer', () => (seen.bytes > 0 ? true : undefined));
  // Without channelz, grpc-js does not know of the sessions that it is to cut.
  await server.stop(50);
  await closed(seen);
});
