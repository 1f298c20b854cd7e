import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

/** A request as the service behind Envoy saw it. */
export interface SeenRequest {
  readonly method: string;
  /** Path with query, as it arrived. */
  readonly path: string;
  /** Name and value in order of arrival, duplicates apart; names in lower case. */
  readonly headers: readonly (readonly [name: string, value: string])[];
}

/** A service behind Envoy that answers 200 to everything and remembers what it saw. */
export interface Upstream extends AsyncDisposable {
  readonly port: number;
  readonly seen: readonly SeenRequest[];
}

function pairs(raw: readonly string[]): [string, string][] {
  const result: [string, string][] = [];
  for (let at = 0; at + 1 < raw.length; at += 2) {
    result.push([(raw[at] ?? '').toLowerCase(), raw[at + 1] ?? '']);
  }
  return result;
}

/** All values of a header of `request`. */
export function headerValues(request: SeenRequest | undefined, name: string): string[] {
  return (request?.headers ?? []).filter(([key]) => key === name).map(([, value]) => value);
}

/** Starts the service on a free port of 127.0.0.1. */
export async function startUpstream(): Promise<Upstream> {
  const seen: SeenRequest[] = [];
  const server = createServer((request, response) => {
    seen.push({ method: request.method ?? '', path: request.url ?? '', headers: pairs(request.rawHeaders) });
    request.resume();
    response.setHeader('content-type', 'application/json').end('{"served":true}\n');
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    seen,
    [Symbol.asyncDispose]: async () => {
      const closed = once(server, 'close');
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
}
