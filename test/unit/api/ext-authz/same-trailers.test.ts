import { once } from 'node:events';
import http2 from 'node:http2';
import { type AddressInfo, connect } from 'node:net';
import { duplexPair } from 'node:stream';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { SameTrailers } from '../../../../src/api/ext-authz/same-trailers.ts';

const TRAILERS = { 'x-status': '0', 'x-message': 'OK' };
const WITH_TRAILERS = { waitForTrailers: true };
const { NGHTTP2_CANCEL } = http2.constants;

type End = (stream: http2.ServerHttp2Stream, message: Buffer) => void;

const asNodeDoes: End = (stream, message) => {
  stream.once('wantTrailers', () => stream.sendTrailers(TRAILERS));
  stream.end(message);
};

interface Served {
  readonly port: number;
  readonly streams: http2.ServerHttp2Stream[];
  readonly errors: unknown[];
}

/** A server that answers each request with a message of so many bytes when the request has ended. */
async function serving(end: End, bytes = 100): Promise<Served> {
  const [streams, errors]: [http2.ServerHttp2Stream[], unknown[]] = [[], []];
  const server = http2.createServer();
  server.on('stream', (stream) => {
    streams.push(stream);
    stream.on('error', (error) => errors.push(error));
    stream.resume().on('end', () => {
      stream.respond({ ':status': 200 }, WITH_TRAILERS);
      end(stream, Buffer.alloc(bytes, 'm'));
    });
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  onTestFinished(() => void server.close());
  return { port: (server.address() as AddressInfo).port, streams, errors };
}

async function connected(
  port: number,
  options: http2.ClientSessionOptions = {},
): Promise<http2.ClientHttp2Session> {
  const client = http2.connect(`http://127.0.0.1:${port}`, options);
  onTestFinished(() => client.destroy());
  await once(client, 'remoteSettings');
  return client;
}

interface Answer {
  readonly bytes: number;
  readonly trailers: string;
}

async function call(client: http2.ClientHttp2Session): Promise<Answer> {
  const stream = client.request({ ':path': '/', ':method': 'POST' });
  let [bytes, trailers] = [0, 'none'];
  stream.on('trailers', (fields) => (trailers = JSON.stringify(fields)));
  stream.end('request');
  for await (const chunk of stream) bytes += (chunk as Buffer).length;
  return { bytes, trailers };
}

/** The kinds of HTTP/2 frames in `bytes` (RFC 9113 section 4.1): whole ones, as they were written. */
function kindsIn(bytes: Buffer): number[] {
  const kinds: number[] = [];
  for (let at = 0; at < bytes.length; at += 9 + bytes.readUIntBE(at, 3)) kinds.push(bytes[at + 3] ?? -1);
  return kinds;
}

const [DATA, HEADERS] = [0, 1];

/** What frames came together, in ten answers one after the other. */
async function writesOf(end: End): Promise<number[][]> {
  const { port } = await serving(end);
  const [ours, its] = duplexPair();
  const socket = connect(port, '127.0.0.1').setNoDelay();
  const writes: number[][] = [];
  socket.on('data', (chunk) => {
    writes.push(kindsIn(chunk).filter((kind) => kind === DATA || kind === HEADERS));
    ours.write(chunk);
  });
  ours.pipe(socket);
  onTestFinished(() => void socket.destroy());
  const client = await connected(port, { createConnection: () => its });
  for (let i = 0; i < 10; i++) await call(client);
  return writes.filter((kinds) => kinds.length > 0);
}

function ours(): End {
  const same = new SameTrailers(TRAILERS);
  return (stream, message) => same.end(stream, message);
}

function writableError(stream: http2.ServerHttp2Stream): unknown {
  return (Reflect.get(stream, '_writableState') as { readonly errored: unknown }).errored;
}

const WHOLE = { bytes: 100, trailers: JSON.stringify(TRAILERS) };

describe('an answer with trailers that are always the same', () => {
  test('is one write to the socket, but for the first, from which they are learned', async () => {
    const whole = [HEADERS, DATA, HEADERS];
    expect((await writesOf(ours())).slice(-9)).toEqual(Array.from({ length: 9 }, () => whole));
    expect(await writesOf(asNodeDoes)).not.toContainEqual(whole);
  });

  test('is the same to its reader, one by one and many at once, and its stream is gone afterwards', async () => {
    const { port, streams, errors } = await serving(ours());
    const client = await connected(port);
    expect(await call(client)).toEqual(WHOLE);
    const answers = await Promise.all(Array.from({ length: 90 }, () => call(client)));
    expect(new Set(answers.map((answer) => JSON.stringify(answer)))).toEqual(
      new Set([JSON.stringify(WHOLE)]),
    );
    await expect.poll(() => streams.every(({ destroyed }) => destroyed)).toBe(true);
    expect(streams).toHaveLength(91);
    expect(streams.every(({ rstCode }) => rstCode === 0)).toBe(true);
    expect(errors).toEqual([]);
    const closed = once(client, 'close');
    client.close();
    await closed;
  });

  test('ends without an error that is made for it alone', async () => {
    const { port, streams, errors } = await serving(ours());
    const client = await connected(port);
    for (let i = 0; i < 4; i++) await call(client);
    await expect.poll(() => streams.every(({ destroyed }) => destroyed)).toBe(true);
    // Node.js makes one where a stream names none; the first was ended by Node.js.
    const named = new Set(streams.slice(1).map(writableError));
    expect([...named]).toEqual([new Error('the stream has ended')]);
    expect(errors).toEqual([]);
  });

  test('waits with its trailers until a slow reader took all of its bytes', async () => {
    const { port } = await serving(ours(), 200_000);
    const client = await connected(port, { settings: { initialWindowSize: 1000 } });
    for (let i = 0; i < 3; i++) expect(await call(client)).toEqual({ ...WHOLE, bytes: 200_000 });
  });

  test('leaves nothing behind where its reader goes in the middle of it', async () => {
    const { port, streams, errors } = await serving(ours(), 200_000);
    const client = await connected(port, { settings: { initialWindowSize: 1000 } });
    for (let i = 0; i < 5; i++) {
      const stream = client.request({ ':path': '/', ':method': 'POST' }).on('error', () => undefined);
      stream.end('request');
      await once(stream, 'response');
      stream.close(NGHTTP2_CANCEL);
    }
    await expect.poll(() => streams.filter(({ destroyed }) => destroyed).length).toBe(5);
    expect(errors).toEqual([]);
  });

  test('is ended by Node.js where that is not one that we know', async () => {
    const same = new SameTrailers(TRAILERS, '26.1.0');
    expect(await writesOf((stream, message) => same.end(stream, message))).not.toContainEqual([
      HEADERS,
      DATA,
      HEADERS,
    ]);
    const { port } = await serving((stream, message) => same.end(stream, message));
    const client = await connected(port);
    for (let i = 0; i < 3; i++) expect(await call(client)).toEqual(WHOLE);
  });

  test('is ended by Node.js where its streams are not as they were', async () => {
    vi.resetModules();
    const symbols = vi.spyOn(Object, 'getOwnPropertySymbols').mockReturnValue([]);
    onTestFinished(() => symbols.mockRestore());
    const module = await import('../../../../src/api/ext-authz/same-trailers.ts');
    const same = new module.SameTrailers(TRAILERS);
    const { port } = await serving((stream, message) => same.end(stream, message));
    const client = await connected(port);
    for (let i = 0; i < 3; i++) expect(await call(client)).toEqual(WHOLE);
  });
});
