import { type RequestListener, createServer } from 'node:http';
import { describe, expect, onTestFinished, test } from 'vitest';
import { listen } from '../../../src/api/address.ts';
import { boundedFetch, readBounded, utf8Text } from '../../../src/pdp/bounded-fetch.ts';

/** Fetches from a server that answers so. */
async function fetchFrom(
  answer: RequestListener,
  { timeoutMs = 5000, signal = new AbortController().signal } = {},
): Promise<string> {
  const server = createServer(answer);
  const url = `http://${await listen(server, '127.0.0.1:0')}/`;
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  const read = async (response: Response) => utf8Text(await readBounded(response.body, 8));
  return await boundedFetch(fetch, { url, headers: { 'x-test': 'yes' }, timeoutMs, signal, read });
}

describe('a bounded fetch', () => {
  test('reads a body up to the bound, without a byte order mark', async () => {
    expect(await fetchFrom((request, response) => response.end(request.headers['x-test']))).toBe('yes');
    expect(await fetchFrom((_, response) => response.end('12345678'))).toBe('12345678');
    expect(await fetchFrom((_, response) => response.end('\uFEFFé'))).toBe('é');
    expect(await fetchFrom((_, response) => response.writeHead(204).end())).toBe('');
  });

  test('refuses a body beyond the bound, however long it goes on', async () => {
    const endless: RequestListener = (_, response) => {
      const more = (): void => {
        while (!response.destroyed && response.write('1234'));
      };
      response.on('drain', more);
      more();
    };
    await expect(fetchFrom(endless)).rejects.toThrow(/^answered with more than 8 bytes$/);
  });

  test('refuses a body that is not UTF-8', async () => {
    await expect(fetchFrom((_, response) => response.end(Buffer.of(0xc3)))).rejects.toThrow(/utf-8/);
  });

  test('does not follow a redirect', async () => {
    const away: RequestListener = (_, response) => response.writeHead(302, { location: '/' }).end();
    await expect(fetchFrom(away)).rejects.toThrow(/redirect/);
  });

  test.each<[string, RequestListener]>([
    ['answers nothing', () => undefined],
    ['never ends its answer', (_, response) => void response.write('1')],
  ])('does not wait for a server that %s', async (_, answer) => {
    await expect(fetchFrom(answer, { timeoutMs: 20 })).rejects.toThrow(/^did not answer within 20 ms$/);
  });

  test('ends when it is aborted', async () => {
    const aborted = AbortSignal.abort();
    await expect(fetchFrom((_, response) => response.end(), { signal: aborted })).rejects.toThrow(/abort/);
  });

  test.each<[string, RequestListener]>([
    ['before the answer', (request) => request.socket.destroy()],
    [
      'within the answer',
      (request, response) => {
        response.writeHead(200, { 'content-length': '5' });
        response.write('1', () => request.socket.destroy());
      },
    ],
  ])('says why, in the words of the cause, when the connection is cut %s', async (_, answer) => {
    const failure = fetchFrom(answer);
    await expect(failure).rejects.toThrow(/closed|reset|ECONNRESET/);
    await expect(failure).rejects.not.toThrow(/^(?:fetch failed|terminated)$/);
  });
});
