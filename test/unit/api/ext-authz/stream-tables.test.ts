import { once } from 'node:events';
import http2 from 'node:http2';
import type { AddressInfo } from 'node:net';
import { describe, expect, onTestFinished, test } from 'vitest';
import { replaceStreamTables } from '../../../../src/api/ext-authz/stream-tables.ts';

type Prepare = (session: http2.Http2Session) => void;

/** A client of a server whose every session, at both ends, was prepared. */
async function connected(
  prepare: Prepare,
  onStream = (stream: http2.ServerHttp2Stream) => {
    stream.respond({ ':status': 200 });
    stream.end('answer');
  },
): Promise<{ client: http2.ClientHttp2Session; sessions: http2.Http2Session[] }> {
  const sessions: http2.Http2Session[] = [];
  const server = http2.createServer();
  server.on('session', (session) => {
    prepare(session);
    sessions.push(session);
  });
  server.on('stream', onStream);
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const client = http2.connect(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
  prepare(client);
  onTestFinished(() => {
    client.destroy();
    server.close();
  });
  await once(client, 'remoteSettings');
  return { client, sessions };
}

async function call(client: http2.ClientHttp2Session): Promise<string> {
  const stream = client.request({ ':path': '/' });
  const ended = once(stream, 'close');
  let text = '';
  for await (const chunk of stream.setEncoding('utf8')) text += chunk;
  await ended;
  return text;
}

const replaced: Prepare = (session) => expect(replaceStreamTables(session)).toBe(true);
const asItIs: Prepare = () => undefined;

describe('a session whose tables of streams were replaced', () => {
  test('serves calls, one by one and many at once', async () => {
    const { client } = await connected(replaced);
    expect(await call(client)).toBe('answer');
    const answers = await Promise.all(Array.from({ length: 90 }, () => call(client)));
    expect(new Set(answers)).toEqual(new Set(['answer']));
    const closed = once(client, 'close');
    client.close();
    await closed;
  });

  test('forgets streams that are reset, and closes when the last one has ended', async () => {
    const held: http2.ServerHttp2Stream[] = [];
    const { client, sessions } = await connected(replaced, (stream) => void held.push(stream));
    const streams = Array.from({ length: 20 }, () =>
      client.request({ ':path': '/' }).on('error', () => undefined),
    );
    await expect.poll(() => held.length).toBe(20);
    let isClosed = false;
    sessions[0]?.on('close', () => (isClosed = true)).close();
    for (const stream of streams.slice(1)) stream.close(http2.constants.NGHTTP2_CANCEL);
    await expect.poll(() => held.filter((stream) => !stream.destroyed).length).toBe(1);
    expect(isClosed).toBe(false);
    for (const stream of held.filter((one) => !one.destroyed)) {
      stream.respond({ ':status': 200 });
      stream.end();
    }
    streams[0]?.resume();
    await expect.poll(() => isClosed).toBe(true);
  });

  test('ends all of its streams when it is destroyed', async () => {
    const held: http2.ServerHttp2Stream[] = [];
    const { client, sessions } = await connected(replaced, (stream) => {
      held.push(stream.on('error', () => undefined));
    });
    client.on('error', () => undefined);
    const streams = Array.from({ length: 5 }, () =>
      client.request({ ':path': '/' }).on('error', () => undefined),
    );
    await expect.poll(() => held.length).toBe(5);
    sessions[0]?.destroy(new Error('over'));
    await expect.poll(() => held.every((stream) => stream.destroyed)).toBe(true);
    await expect.poll(() => streams.every((stream) => stream.destroyed)).toBe(true);
  });

  test('is left as it is by a Node.js that is not known', async () => {
    const { client } = await connected((session) => {
      expect(replaceStreamTables(session, '26.1.0')).toBe(false);
      expect(replaceStreamTables(session, '25.0.0')).toBe(false);
    });
    expect(await call(client)).toBe('answer');
  });

  test('is left as it is once it has streams', async () => {
    const { client, sessions } = await connected(asItIs, () => undefined);
    client.request({ ':path': '/' }).on('error', () => undefined);
    await expect.poll(() => sessions[0] && replaceStreamTables(sessions[0])).toBe(false);
  });
});
