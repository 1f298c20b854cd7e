import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { type RequestListener, createServer as createHttpServer } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type TransmitterHttp, openTransmitterHttp } from '../../../src/pip/ssf/transmitter-http.ts';
import { type TestCa, createTestCa } from '../../support/test-ca.ts';
import { memoryLog } from '../../unit/pip/fixture.ts';

let stack: AsyncDisposableStack;
let ca: TestCa;

beforeEach(async () => {
  stack = new AsyncDisposableStack();
  ca = stack.use(await createTestCa('prod.example.com'));
});

afterEach(() => stack.disposeAsync());

async function serve(
  listener: RequestListener,
  tls?: Parameters<typeof createHttpsServer>[0],
): Promise<string> {
  const server = tls ? createHttpsServer(tls, listener) : createHttpServer(listener);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  stack.defer(() => {
    server.closeAllConnections();
    server.close();
  });
  const { port } = server.address() as AddressInfo;
  return tls ? `https://localhost:${port}` : `http://127.0.0.1:${port}`;
}

async function client(credentials: Parameters<typeof openTransmitterHttp>[0]['credentials'] = {}) {
  return stack.use(await openTransmitterHttp({ name: 'idp', credentials, log: memoryLog() }));
}

const ask = (http: TransmitterHttp, url: string, timeoutMs = 2000) =>
  http.ask({ method: 'GET', url, timeoutMs, signal: new AbortController().signal });

describe('a question to a transmitter', () => {
  test('proves who asks by a certificate, where the transmitter wants that', async () => {
    const [server, ours] = [
      await ca.issue({ spiffeId: 'spiffe://prod.example.com/idp', dns: ['localhost'] }),
      await ca.issue({ spiffeId: 'spiffe://prod.example.com/pdp' }),
    ];
    const url = await serve((_request, response) => response.end('{}'), {
      cert: server.cert,
      key: server.key,
      ca: ca.bundle,
      requestCert: true,
    });
    const known = await client({ cert: ours.certFile, key: ours.keyFile, ca: ca.bundleFile });
    expect(await ask(known, url)).toEqual({ status: 200, json: {} });
    await expect(ask(await client({ ca: ca.bundleFile }), url)).rejects.toThrow();
    // Without its CA the transmitter is not believed, whatever the environment says.
    await expect(ask(await client(), url)).rejects.toThrow('not trusted');
  });

  test.each([
    ['a redirect', 302, {}, '', 'status 302'],
    ['a page', 200, {}, '<html>', 'not JSON'],
    ['what is not UTF-8', 200, {}, Buffer.from([0x22, 0xff, 0x22]), 'not JSON'],
    ['more than 4 MiB', 200, {}, ' '.repeat(4 * 1024 * 1024 + 1), 'more than'],
  ])('that is answered with %s came to nothing', async (_what, status, headers, body, words) => {
    const url = await serve((_request, response) => response.writeHead(status, headers).end(body));
    await expect(ask(await client(), url)).rejects.toThrow(words);
  });

  test.each([
    ['2', 2000],
    ['100000', 300_000],
    [new Date(Date.now() - 60_000).toUTCString(), 0],
    ['soon', undefined],
  ])('that is answered with Retry-After %s may be asked again then', async (value, retryAfterMs) => {
    const url = await serve((_request, response) => response.writeHead(503, { 'retry-after': value }).end());
    await expect(ask(await client(), url)).rejects.toMatchObject({ status: 503, retryAfterMs });
  });

  test('that is not answered in time came to nothing, and so does one whose answer trickles', async () => {
    const silent = await serve(() => undefined);
    const slow = await serve((_request, response) => void response.writeHead(200).write('{'));
    for (const url of [silent, slow])
      await expect(ask(await client(), url, 100)).rejects.toThrow('did not answer within 100 ms');
  });

  test.each(['http://idp.example.com/', 'https://user:password@idp.example.com/', 'ftp://x', 'x'])(
    'does not go to %s',
    async (url) => {
      await expect(ask(await client(), url)).rejects.toThrow('an endpoint whose URL');
    },
  );

  test('is refused at the start where there is no token', async () => {
    const file = join(ca.bundleFile, '..', 'token');
    await expect(client({ token: file })).rejects.toThrow('not right');
    await writeFile(file, 'two\nlines');
    await expect(client({ token: file })).rejects.toThrow('not right');
  });
});
