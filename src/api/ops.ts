import { type ServerResponse, createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

/** Whether we can decide, and if not, why. */
export interface Readiness {
  readonly ready: boolean;
  /** What is missing, in words for an operator. */
  readonly problems: readonly string[];
  /** What is in force. */
  readonly details: { readonly [name: string]: string | number };
}

/** What the ops surface shows. */
export interface OpsParts {
  /** `host:port`; port 0 picks a free one. */
  readonly address: string;
  readiness(): Readiness;
  /** Metrics in the Prometheus text format. */
  metrics(): Promise<{ readonly contentType: string; readonly body: string }>;
}

/** A bound ops server. */
export interface OpsServer extends AsyncDisposable {
  /** `host:port` as bound. */
  readonly address: string;
}

/** Serves `/livez` (the event loop turns), `/readyz` (we can decide) and `/metrics`. Rejects where the address cannot be bound. */
export async function startOpsServer(parts: OpsParts): Promise<OpsServer> {
  const server = createServer((request, response) => {
    if (request.method !== 'GET' && request.method !== 'HEAD')
      send(response, 405, 'text/plain', 'only GET\n');
    else
      answer(parts, request.url ?? '/', response).catch(() =>
        send(response, 500, 'text/plain', 'internal error\n'),
      );
  });
  const split = parts.address.lastIndexOf(':');
  const host = parts.address.slice(0, split);
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(Number(parts.address.slice(split + 1)), host.replace(/^\[|\]$/g, ''), resolve);
  });
  return {
    address: `${host}:${(server.address() as AddressInfo).port}`,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}

async function answer(parts: OpsParts, url: string, response: ServerResponse): Promise<void> {
  switch (url) {
    case '/livez':
      return send(response, 200, 'text/plain', 'ok\n');
    case '/readyz': {
      const readiness = parts.readiness();
      return send(
        response,
        readiness.ready ? 200 : 503,
        'application/json',
        `${JSON.stringify(readiness)}\n`,
      );
    }
    case '/metrics': {
      const { contentType, body } = await parts.metrics();
      return send(response, 200, contentType, body);
    }
    default:
      return send(response, 404, 'text/plain', 'try /livez, /readyz or /metrics\n');
  }
}

function send(response: ServerResponse, status: number, contentType: string, body: string): void {
  response.writeHead(status, { 'content-type': contentType, 'cache-control': 'no-store' }).end(body);
}
