import { EventEmitter, once } from 'node:events';
import { type IncomingMessage, type Server, type ServerResponse, createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

/** How a server answers. */
export type Handler = (request: IncomingMessage, response: ServerResponse) => void;

/** A real HTTP server that does what a test says. */
export interface SwitchedServer extends AsyncDisposable {
  readonly origin: string;
  answer: Handler;
  /** Emits `asked` with each question. */
  readonly events: EventEmitter;
  /** Stops listening and cuts all connections. */
  stop(): Promise<void>;
}

/** Starts one on loopback. */
export async function startServer(answer: Handler): Promise<SwitchedServer> {
  const events = new EventEmitter();
  const state: { answer: Handler } = { answer };
  const server = createServer((request, response) => {
    events.emit('asked');
    state.answer(request, response);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const stop = (): Promise<void> => stopServer(server);
  return {
    origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    get answer() {
      return state.answer;
    },
    set answer(next) {
      state.answer = next;
    },
    events,
    stop,
    [Symbol.asyncDispose]: stop,
  };
}

async function stopServer(server: Server): Promise<void> {
  if (!server.listening) return;
  const closed = once(server, 'close');
  server.close();
  server.closeAllConnections();
  await closed;
}

/** Answers 200 with a body. */
export function sending(body: string, type = 'application/json'): Handler {
  return (_request, response) => void response.writeHead(200, { 'content-type': type }).end(body);
}

/** Answers nothing. */
export function hanging(): Handler {
  return () => undefined;
}

/** What a proxy shows that wants somebody to sign in. */
export const HTML: Handler = sending('<html><body>Sign in</body></html>', 'text/html');

/** JSON of 10 MB. */
export const HUGE: Handler = sending(
  JSON.stringify({ department: 'finance', padding: 'x'.repeat(10_000_000) }),
);
