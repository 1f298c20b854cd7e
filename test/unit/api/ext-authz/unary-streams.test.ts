import { once } from 'node:events';
import net from 'node:net';
import http2 from 'node:http2';
import { setImmediate as nextTurn, setTimeout as delay } from 'node:timers/promises';
import { Server, ServerCredentials, type ServerUnaryCall, type sendUnaryData } from '@grpc/grpc-js';
import fc from 'fast-check';
import { describe, expect, onTestFinished, test } from 'vitest';
import { MessageReader } from '../../../../src/api/ext-authz/message-reader.ts';
import { EXT_AUTHZ_SERVICE } from '../../../../src/api/ext-authz/service.ts';
import { UnaryStreams } from '../../../../src/api/ext-authz/unary-streams.ts';
import { startGrpcServer } from '../../../../src/api/grpc-server.ts';
import { InFlight } from '../../../../src/api/in-flight.ts';
import { interceptUnheard } from '../../../../src/api/unheard-calls.ts';
import { MACHINE_CLOCK } from '../../../support/clock.ts';
import { eventually } from '../../../support/eventually.ts';
import { requestFrames } from '../../../../bench/load/h2-connection.ts';
import { EXT_AUTHZ_TYPES, checkRequestBytes } from '../../../support/requests.ts';
import { setUp } from '../../pdp/decision-point.ts';
import { decisionServiceOf } from '../decision-service/fixture.ts';
import { connect } from '../grpc-client.ts';
import { OnStreams } from './on-streams.ts';

const PATH = '/envoy.service.auth.v3.Authorization/Check';
const MAX_BYTES = 1000;

interface Behaviour {
  readonly timeoutMs?: number;
  /** Before the answer comes. */
  readonly delay?: () => Promise<unknown>;
}

/** A server of one method that answers with what it was sent, by grpc-js alone or on streams of its own; counts what becomes of its calls. */
async function serve(by: 'grpc-js' | 'streams', { timeoutMs = 300, delay }: Behaviour = {}) {
  const seen = { answered: 0, unheard: 0, cancelled: 0, faults: [] as unknown[] };
  const answer = async (message: Buffer, onCancelled: (run: () => void) => void) => {
    seen.answered += 1;
    onCancelled(() => void (seen.cancelled += 1));
    await delay?.();
    return Buffer.concat([Buffer.from('echo '), message]);
  };
  const unrecorded = { timeoutMs, idleMs: 60_000, maxBytes: 4096 };
  const record = () => void (seen.unheard += 1);
  const server = new Server({
    'grpc.max_receive_message_length': MAX_BYTES,
    interceptors: [interceptUnheard([{ paths: [PATH], timeoutMs, record }], unrecorded)],
  });
  server.addService(EXT_AUTHZ_SERVICE, {
    Check: (call: ServerUnaryCall<Buffer, Buffer>, callback: sendUnaryData<Buffer>) =>
      void answer(call.request, (run) => call.on('cancelled', run)).then((bytes) => callback(null, bytes)),
  });
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
      error ? reject(error) : resolve(bound),
    );
  });
  const streams = new UnaryStreams({
    path: PATH,
    maxBytes: MAX_BYTES,
    timeoutMs,
    answer: async ({ message, onCancelled }) => await answer(message, onCancelled),
    unheard: record,
    onFault: (error) => void seen.faults.push(error),
  });
  if (by === 'streams') expect(streams.take(server)).toBe(true);
  onTestFinished(() => server.forceShutdown());
  return { server, seen, url: `http://127.0.0.1:${port}` };
}

interface Call {
  readonly headers?: http2.OutgoingHttpHeaders;
  readonly settings?: http2.Settings;
  /** Default: ends with a whole message. */
  readonly act?: (stream: http2.ClientHttp2Stream, session: http2.ClientHttp2Session) => void;
}

function frame(bytes: string, flag = 0, length = bytes.length): Buffer {
  const head = Buffer.alloc(5);
  head[0] = flag;
  head.writeUInt32BE(length, 1);
  return Buffer.concat([head, Buffer.from(bytes)]);
}

/** What a client gets to see of one call, in the order of the wire; the date apart. */
async function call(url: string, { headers = {}, settings, act }: Call) {
  const session = http2.connect(url, { ...(settings && { settings }) });
  onTestFinished(() => session.destroy());
  session.on('error', () => undefined);
  await once(session, 'remoteSettings');
  const stream = session.request(
    { ':method': 'POST', ':path': PATH, 'content-type': 'application/grpc', te: 'trailers', ...headers },
    { endStream: false },
  );
  const got = { fields: [] as string[], data: '', code: undefined as number | undefined };
  const take = (_fields: object, _flags: number, raw?: string[]) => {
    const date = raw?.indexOf('date') ?? -1;
    got.fields.push(
      ...(raw ?? []).filter((_, index) => date === -1 || (index !== date && index !== date + 1)),
      '.',
    );
  };
  stream.on('error', () => undefined);
  stream.on('response', take).on('trailers', take);
  stream.on('data', (chunk: Buffer) => (got.data += chunk.toString('latin1')));
  const closed = new Promise<void>((resolve) => void stream.once('close', () => resolve()));
  if (act) act(stream, session);
  else stream.end(frame('hello'));
  await closed;
  got.code = stream.rstCode;
  return got;
}

const write =
  (...chunks: readonly Buffer[]): NonNullable<Call['act']> =>
  (stream) => {
    for (const chunk of chunks) stream.write(chunk);
  };
const end =
  (...chunks: readonly Buffer[]): NonNullable<Call['act']> =>
  (stream) => {
    write(...chunks)(stream, stream.session as http2.ClientHttp2Session);
    stream.end();
  };
const bytewise = [...frame('hello')].map((byte) => Buffer.from([byte]));

describe('what a client sees of a call', () => {
  test('has the date of that answer, as grpc-js sends it', async () => {
    const { url } = await serve('streams');
    const session = http2.connect(url);
    onTestFinished(() => session.destroy());
    for (let n = 0; n < 3; n++) {
      const asked = Date.now();
      const stream = session.request({
        ':method': 'POST',
        ':path': PATH,
        'content-type': 'application/grpc',
        te: 'trailers',
      });
      stream.end(frame('hello'));
      const [{ date = '' }] = (await once(stream, 'response')) as [http2.IncomingHttpHeaders];
      // Whole seconds, of a clock that Node.js reads now and then.
      expect(Date.parse(date)).toBeGreaterThan(asked - 2000);
      await once(stream.resume(), 'close');
      if (n < 2) await delay(1500);
    }
  });

  test.each<[string, Call]>([
    ['whose message is whole', {}],
    ['with an empty message', { act: end(frame('')) }],
    ['whose message comes byte by byte', { act: end(...bytewise) }],
    ['with the flag of a compressed message, and no encoding', { act: end(frame('hello', 1)) }],
    ['with padding', { act: end(frame('hello')), headers: { 'x-padding': 'p'.repeat(500) } }],
    ['without a message', { act: end() }],
    ['whose message is cut off', { act: end(frame('hel', 0, 5)) }],
    ['whose head is cut off', { act: end(Buffer.alloc(3)) }],
    ['with two messages', { act: end(frame('hello'), frame('again')) }],
    ['with a second message, and no end', { act: write(frame('hello'), frame('again')) }],
    ['with a message that says it is too large', { act: write(frame('', 0, MAX_BYTES + 1)) }],
    ['with a message that is too large', { act: end(frame('x'.repeat(MAX_BYTES + 1))) }],
    ['with a message that is just not too large', { act: end(frame('x'.repeat(MAX_BYTES))) }],
    ['whose message does not end', { act: write(frame('hel', 0, 5)) }],
    ['whose message does not begin', { act: write() }],
    ['whose message comes and does not end', { act: write(frame('hello')) }],
    ['in proto', { headers: { 'content-type': 'application/grpc+proto' } }],
    ['in proto with parameters', { headers: { 'content-type': 'application/grpc;charset=x' } }],
    ['of gRPC-Web', { headers: { 'content-type': 'application/grpc-web' } }],
    ['in text', { headers: { 'content-type': 'text/plain' } }],
    ['in an unknown encoding', { headers: { 'grpc-encoding': 'zstd' }, act: end(frame('hello', 1)) }],
    ['in identity', { headers: { 'grpc-encoding': 'identity' } }],
    ['with a time-out in hours', { headers: { 'grpc-timeout': '1H' } }],
    ['with a time-out in seconds', { headers: { 'grpc-timeout': '10S' } }],
    ['with a time-out of eight digits', { headers: { 'grpc-timeout': '90000000u' } }],
    ['with a time-out that is none', { headers: { 'grpc-timeout': 'soon' } }],
    ['with a time-out without unit', { headers: { 'grpc-timeout': '100' } }],
    ['by GET', { headers: { ':method': 'GET' } }],
    ['of another method', { headers: { ':path': `${PATH}2` } }],
    ['of a path with a query', { headers: { ':path': `${PATH}?a` } }],
  ])('%s is what grpc-js shows, and as much is recorded', async (_what, asked) => {
    const [theirs, ours] = [await serve('grpc-js'), await serve('streams')];
    const [expected, got] = await Promise.all([call(theirs.url, asked), call(ours.url, asked)]);
    expect(got).toEqual(expected);
    expect(got.fields.length).toBeGreaterThan(0);
    // To grpc-js a call that was answered is cancelled too.
    expect({ ...ours.seen, cancelled: 0 }).toEqual({ ...theirs.seen, cancelled: 0 });
  });

  test.each<[string, Call['act']]>([
    ['at once', (stream) => stream.close(http2.constants.NGHTTP2_CANCEL)],
    [
      'in the middle',
      (stream) => stream.write(frame('hel', 0, 5), () => stream.close(http2.constants.NGHTTP2_CANCEL)),
    ],
    [
      'before its end',
      (stream) => stream.write(frame('hello'), () => stream.close(http2.constants.NGHTTP2_CANCEL)),
    ],
  ])('that is reset %s is recorded once', async (_when, act) => {
    const { url, seen } = await serve('streams');
    await call(url, { act: act ?? (() => undefined) });
    await eventually('a record', () => (seen.unheard + seen.answered > 0 ? true : undefined));
    expect(seen.unheard + seen.answered).toBe(1);
    expect(seen.faults).toEqual([]);
  });

  test.each<[string, (stream: http2.ClientHttp2Stream, session: http2.ClientHttp2Session) => void]>([
    ['the stream is reset', (stream) => stream.close(http2.constants.NGHTTP2_CANCEL)],
    ['the connection ends', (_stream, session) => session.destroy()],
  ])('is told as cancelled where %s while it is answered', async (_how, leave) => {
    const gate = Promise.withResolvers<void>();
    const { url, seen } = await serve('streams', { delay: () => gate.promise });
    const left = call(url, {
      act: (stream, session) => {
        stream.end(frame('hello'));
        void eventually('the call', () => (seen.answered === 1 ? true : undefined)).then(() =>
          leave(stream, session),
        );
      },
    });
    await left;
    await eventually('the news', () => (seen.cancelled === 1 ? true : undefined));
    gate.resolve();
    expect(seen).toMatchObject({ answered: 1, unheard: 0, faults: [] });
  });
});

describe('a call on a stream of its own', () => {
  test('whose message does not end is ended within twice the time', async () => {
    const { url, seen } = await serve('streams', { timeoutMs: 200 });
    const started = performance.now();
    const all = await Promise.all(
      Array.from({ length: 20 }, () => call(url, { act: write(frame('hel', 0, 5)) })),
    );
    expect(performance.now() - started).toBeGreaterThan(190);
    expect(performance.now() - started).toBeLessThan(1000);
    expect(all.every(({ fields }) => fields.includes('4'))).toBe(true);
    expect(seen.unheard).toBe(20);
  });

  test('is waited for when the server shuts down', async () => {
    const gate = Promise.withResolvers<void>();
    const { server, url, seen } = await serve('streams', { delay: () => gate.promise });
    const answered = call(url, {});
    await eventually('the call', () => (seen.answered === 1 ? true : undefined));
    let isDown = false;
    const down = new Promise<void>((resolve) =>
      server.tryShutdown(() => {
        isDown = true;
        resolve();
      }),
    );
    await new Promise((resolve) => void setImmediate(resolve));
    expect(isDown).toBe(false);
    gate.resolve();
    expect((await answered).data).toBe(frame('echo hello').toString('latin1'));
    await down;
  });

  test('is answered as far as the client opens its window', async () => {
    const { url } = await serve('streams');
    const got = await call(url, {
      settings: { initialWindowSize: 1 },
      act: (stream) => void stream.end(frame('x'.repeat(MAX_BYTES))),
    });
    expect(got.data).toHaveLength(MAX_BYTES + 10);
    expect(got.fields.slice(-5)).toEqual(['grpc-status', '0', 'grpc-message', 'OK', '.']);
  });

  test('whose answer is lost by a bug ends, and somebody is told', async () => {
    const { url, seen } = await serve('streams', { delay: () => Promise.reject(new Error('bug')) });
    await call(url, {});
    expect(seen.faults).toHaveLength(1);
  });
});

/** All that a client sends for one call. */
function wholeConnection(): Buffer {
  const { bytes, dataAt } = requestFrames(PATH, Buffer.from('hello'));
  bytes.writeUInt32BE(1, 5);
  bytes.writeUInt32BE(1, dataAt + 5);
  const preface = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');
  return Buffer.concat([preface, Buffer.from('000000040000000000', 'hex'), bytes]);
}

describe('a message that came while the server was held up', () => {
  test('is not late', async () => {
    const timeoutMs = 300;
    const { url, seen } = await serve('streams', { timeoutMs });
    const whole = wholeConnection();
    const socket = net.connect({ port: Number(new URL(url).port), host: '127.0.0.1', noDelay: true });
    onTestFinished(() => void socket.destroy());
    await once(socket, 'connect');
    socket.write(whole.subarray(0, -2));
    // Its settings, and a turn: it has read what we sent.
    await once(socket, 'data');
    await nextTurn();
    socket.write(whole.subarray(-2));
    const until = performance.now() + 2 * timeoutMs;
    while (performance.now() < until);
    await eventually('the call', () => (seen.answered + seen.unheard > 0 ? true : undefined));
    expect(seen).toMatchObject({ answered: 1, unheard: 0 });
  });
});

describe('a connection that is lost', () => {
  test('at any byte takes nothing else with it', async () => {
    const { url, seen } = await serve('streams');
    const whole = wholeConnection();
    for (let cut = 33; cut <= whole.length; cut++) {
      for (const how of ['resetAndDestroy', 'destroy'] as const) {
        const socket = net.connect(Number(new URL(url).port), '127.0.0.1');
        socket.on('error', () => undefined);
        await once(socket, 'connect');
        socket.write(whole.subarray(0, cut), () => void socket[how]());
        await once(socket, 'close');
      }
    }
    const got = await call(url, {});
    expect(got.data).toBe(frame('echo hello').toString('latin1'));
    expect(seen.faults).toEqual([]);
    expect(seen.answered).toBeGreaterThan(1);
    expect(seen.unheard).toBeGreaterThan(10);
  });
});

describe('a message in pieces', () => {
  test('is the same however it is cut', () => {
    const pieces = fc.array(fc.nat(300), { maxLength: 20 });
    fc.assert(
      fc.property(fc.string({ maxLength: 900, unit: 'binary-ascii' }), pieces, (text, cuts) => {
        const reader = new MessageReader(MAX_BYTES);
        const bytes = frame(text);
        let at = 0;
        for (const cut of cuts) {
          expect(reader.add(bytes.subarray(at, at + cut))).toBeUndefined();
          at += cut;
        }
        reader.add(bytes.subarray(at));
        expect(reader.message().toString()).toBe(text);
      }),
    );
  });

  test('does not hold what it came with: a piece is a part of all that was read from the connection', () => {
    const reader = new MessageReader(MAX_BYTES);
    const read = Buffer.alloc(64 * 1024);
    frame('hello').copy(read);
    expect(reader.add(read.subarray(0, 7))).toBeUndefined();
    read.fill(0);
    expect(reader.add(frame('hello').subarray(7))).toBeUndefined();
    expect(reader.message().toString()).toBe('hello');
  });

  test('is not kept beyond its size', () => {
    const reader = new MessageReader(MAX_BYTES);
    expect(reader.add(frame('hello'))).toBeUndefined();
    expect(reader.add(Buffer.from('x'))).toBe('second');
    expect(new MessageReader(4).add(frame('hello'))).toEqual({ size: 5 });
  });
});

test('the streams are taken from grpc-js as it is installed', async () => {
  const fixture = setUp({ clock: MACHINE_CLOCK });
  const service = new OnStreams({
    decisionPoint: fixture.point,
    clock: MACHINE_CLOCK,
    types: EXT_AUTHZ_TYPES,
    encoding: { realm: 'test', faultsAsError: false },
    plaintext: true,
    timeoutMs: 1000,
    inFlight: new InFlight(10),
    maxRequestBytes: 64 * 1024,
    onEncoded: () => undefined,
    onFault: () => undefined,
  });
  const decisions = decisionServiceOf(fixture);
  const server = await startGrpcServer(service, {
    address: '127.0.0.1:0',
    maxReceiveBytes: 65_536,
    decisions,
  });
  onTestFinished(() => server.stop(100));
  using client = connect(server.address);
  expect(await client.check(checkRequestBytes())).toMatchObject({ allowed: true });
});
