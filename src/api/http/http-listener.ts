import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { listen } from '../address.ts';
import { type TlsSettings, startTlsListener } from '../tls/tls-listener.ts';

/** How an HTTP surface listens. */
export interface HttpListenerOptions {
  /** In log lines and metrics. */
  readonly surface: string;
  /** `host:port`; port 0 picks a free one. */
  readonly address: string;
  /** Absent: plaintext. */
  readonly tls?: TlsSettings;
}

/** A bound HTTP surface. Disposing cuts its connections. */
export interface HttpListener extends AsyncDisposable {
  /** `host:port` as bound. */
  readonly address: string;
  /** Takes no more connections, and waits until what is being answered is answered, `graceMs` at most. */
  drain(graceMs: number): Promise<void>;
}

/** Limits of every HTTP surface: a peer that takes longer holds a connection open. */
export const HTTP_LIMITS = {
  /** In ms. */
  requestTimeout: 10_000,
  /** In ms. */
  headersTimeout: 5000,
  /** In ms. */
  keepAliveTimeout: 60_000,
  /** In ms. */
  connectionsCheckingInterval: 1000,
  maxHeaderSize: 16 * 1024,
} as const;

const MAX_CONNECTIONS = 10_000;

/**
 * Binds an HTTP/1.1 server over mutual TLS or in plaintext. Who is on the other end of a request tells `callerOn`. Rejects where the
 * address cannot be bound, and as {@link startTlsListener} does.
 */
export async function startHttpListener(server: Server, options: HttpListenerOptions): Promise<HttpListener> {
  const { surface, address, tls } = options;
  const answered = drainage(server);
  if (!tls) return await listenPlaintext(server, address, answered);
  const retire = retirement(server);
  // Node enforces the time limits of requests once a server listens, and this one is handed its connections.
  server.emit('listening');
  const accept = (socket: Socket) => {
    server.emit('connection', socket);
    return { retire: () => retire(socket) };
  };
  const listener = await startTlsListener({ surface, address, protocol: 'http/1.1', ...tls, accept });
  return {
    address: listener.address,
    async drain(graceMs) {
      listener.refuseNew();
      await answered(graceMs);
    },
    async [Symbol.asyncDispose]() {
      await listener[Symbol.asyncDispose]();
      server.close();
    },
  };
}

async function listenPlaintext(
  server: Server,
  address: string,
  answered: (graceMs: number) => Promise<void>,
): Promise<HttpListener> {
  server.maxConnections = MAX_CONNECTIONS;
  return {
    address: await listen(server, address),
    async drain(graceMs) {
      server.close();
      await answered(graceMs);
    },
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}

/**
 * Closes a connection with the next answer. One that is idle is left alone, for a request may be on its way to it; the listener cuts it
 * at the end of the grace.
 */
function retirement(server: Server): (socket: Socket) => void {
  const old = new WeakSet<Socket>();
  server.prependListener('request', ({ socket }: IncomingMessage, response: ServerResponse) => {
    if (old.has(socket)) response.setHeader('connection', 'close');
    response.once('close', () => {
      if (old.has(socket)) socket.end();
    });
  });
  return (socket) => void old.add(socket);
}

/** Waits for the answers of requests that have come, or come while it waits; each closes its connection. */
function drainage(server: Server): (graceMs: number) => Promise<void> {
  let open = 0;
  let onIdle: (() => void) | undefined;
  server.prependListener('request', (_request: IncomingMessage, response: ServerResponse) => {
    open += 1;
    if (onIdle) response.setHeader('connection', 'close');
    response.once('close', () => {
      open -= 1;
      if (open === 0) onIdle?.();
    });
  });
  return (graceMs) =>
    new Promise((resolve) => {
      const timer = setTimeout(resolve, graceMs);
      onIdle = () => {
        clearTimeout(timer);
        resolve();
      };
      if (open === 0) onIdle();
    });
}
