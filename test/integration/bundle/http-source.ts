import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/** What the server does with a request. */
export type Behaviour = (request: IncomingMessage, response: ServerResponse) => void;

/** An HTTP server in this process that serves bundles, well or badly. */
export interface HttpSource extends AsyncDisposable {
  readonly url: string;
  /** `If-None-Match` of each request so far; `undefined` where it was not sent. */
  readonly asked: (string | undefined)[];
  /** How the next requests are answered. */
  behave(behaviour: Behaviour): void;
  /** Refuses connections from here on. */
  stop(): Promise<void>;
}

/** Starts a server on a free loopback port; `port` to take a known one. */
export async function startHttpSource(behaviour: Behaviour, port = 0): Promise<HttpSource> {
  let current = behaviour;
  const asked: (string | undefined)[] = [];
  const server = createServer((request, response) => {
    asked.push(request.headers['if-none-match']);
    current(request, response);
  });
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
  const stop = async (): Promise<void> => {
    if (!server.listening) return;
    const closed = new Promise((resolve) => server.close(resolve));
    server.closeAllConnections();
    await closed;
  };
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/policies/bundle.tar.gz`,
    asked,
    behave(next) {
      current = next;
    },
    stop,
    [Symbol.asyncDispose]: stop,
  };
}

/** Serves a bundle, with 304 for its ETag. */
export function serving(bundle: Buffer, etag?: string): Behaviour {
  return (request, response) => {
    if (etag !== undefined) response.setHeader('etag', etag);
    if (etag !== undefined && request.headers['if-none-match'] === etag) response.writeHead(304).end();
    else response.writeHead(200, { 'content-type': 'application/gzip' }).end(bundle);
  };
}
