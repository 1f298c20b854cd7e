import { once } from 'node:events';
import { type RequestListener, createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, expect, test } from 'vitest';
import { createKeySet } from '../../../src/pip/jwks/jwks.ts';
import { createTestIssuer } from '../../support/tokens.ts';
import { type MemoryLog, manualClock, memoryLog } from '../../unit/pip/fixture.ts';

const closing: (() => unknown)[] = [];

afterEach(() => {
  for (const close of closing.splice(0)) close();
});

async function serve(listener: RequestListener): Promise<string> {
  const server = createServer(listener);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  closing.push(
    () => server.close(),
    () => server.closeAllConnections(),
  );
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/jwks`;
}

async function start(url: string): Promise<{ hasKeys: boolean; log: MemoryLog }> {
  const clock = manualClock();
  const log = memoryLog();
  const keySet = createKeySet({ name: 'staff', source: { url }, clock, log });
  closing.push(() => keySet[Symbol.dispose]());
  await keySet.start();
  return { hasKeys: keySet.keys(clock.now()) !== undefined, log };
}

const issuer = await createTestIssuer({ issuer: 'i', audience: 'a' });

test('keys are fetched over real HTTP', async () => {
  const url = await serve((_request, response) => response.end(JSON.stringify(issuer.jwks)));
  expect(await start(url)).toMatchObject({ hasKeys: true });
});

test.each([301, 302, 307])('a redirect with status %d is not followed', async (status) => {
  const target = await serve((_request, response) => response.end(JSON.stringify(issuer.jwks)));
  const url = await serve((_request, response) => response.writeHead(status, { location: target }).end());
  const { hasKeys, log } = await start(url);
  expect(hasKeys).toBe(false);
  expect(log.text()).toContain('redirect');
});

test('an endless answer is cut off', async () => {
  const url = await serve((_request, response) => {
    const chunk = Buffer.alloc(65_536, ' ');
    const more = (): void => {
      while (!response.destroyed && response.write(chunk));
    };
    response.on('drain', more);
    more();
  });
  const { hasKeys, log } = await start(url);
  expect(hasKeys).toBe(false);
  expect(log.text()).toContain('more than 524288 bytes');
});

test.each([404, 500, 204])('a status of %d is a failure', async (status) => {
  const url = await serve((_request, response) => response.writeHead(status).end());
  const { hasKeys, log } = await start(url);
  expect(hasKeys).toBe(false);
  expect(log.text()).toContain(`status ${status}`);
});

test('a connection that is cut is a failure', async () => {
  const url = await serve((request) => request.socket.destroy());
  expect(await start(url)).toMatchObject({ hasKeys: false });
});

test('an issuer that never answers is given up after five seconds', async () => {
  const url = await serve(() => undefined);
  const { hasKeys, log } = await start(url);
  expect(hasKeys).toBe(false);
  expect(log.text()).toContain('did not answer within 5000 ms');
});
