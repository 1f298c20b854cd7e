import { type IncomingMessage, type RequestListener, type ServerResponse, createServer } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { SecureContextOptions, TlsOptions } from 'node:tls';

/** What a server was asked. */
export interface Asked {
  readonly method: string;
  readonly url: string;
  readonly headers: IncomingMessage['headers'];
  readonly body: string;
}

/** Answers a question. */
export type Behaviour = (asked: Asked, response: ServerResponse) => void;

/** An HTTP(S) server in this process that knows facts, well or badly. */
export interface FactsServer extends AsyncDisposable {
  readonly origin: string;
  readonly asked: Asked[];
  /** Connections that were made so far. */
  readonly connections: number;
  behave(behaviour: Behaviour): void;
  /** TLS only: certificate and authorities for new connections. */
  secure(tls: SecureContextOptions): void;
}

/** Starts a server on a free port, of TLS where there are options for it. */
export async function startFactsServer(behaviour: Behaviour, tls?: TlsOptions): Promise<FactsServer> {
  let current = behaviour;
  let connections = 0;
  const asked: Asked[] = [];
  const listener: RequestListener = (request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const { method = '', url = '', headers } = request;
      const question = { method, url, headers, body: Buffer.concat(chunks).toString() };
      asked.push(question);
      current(question, response);
    });
  };
  const secureServer = tls && createTlsServer(tls, listener);
  const server = secureServer ?? createServer(listener);
  server.on(tls ? 'secureConnection' : 'connection', () => (connections += 1));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    origin: `${tls ? 'https' : 'http'}://localhost:${(server.address() as AddressInfo).port}`,
    asked,
    get connections() {
      return connections;
    },
    behave(next) {
      current = next;
    },
    secure: (options) => secureServer?.setSecureContext(options),
    async [Symbol.asyncDispose]() {
      const closed = new Promise((resolve) => server.close(resolve));
      server.closeAllConnections();
      await closed;
    },
  };
}

/** Answers everything with this JSON. */
export function answering(json: unknown, headers: Readonly<Record<string, string>> = {}): Behaviour {
  return (_asked, response) => {
    response.writeHead(200, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(json));
  };
}
