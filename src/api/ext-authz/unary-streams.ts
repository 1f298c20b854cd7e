import { type Server, status } from '@grpc/grpc-js';
import type { Http2Server, IncomingHttpHeaders, ServerHttp2Stream } from 'node:http2';
import { type Connection, connectionOf } from '../caller.ts';
import type { MessageProblem } from './message-reader.ts';
import { replaceStreamTables } from './stream-tables.ts';
import { UnaryStream, statusOf } from './unary-stream.ts';
import { WaitingCalls } from './waiting-calls.ts';

/** One call whose message is complete. */
export interface UnaryCall {
  readonly message: Buffer;
  readonly headers: IncomingHttpHeaders;
  readonly connection: Connection;
  /** Unix ms; infinite where the caller names none. */
  readonly deadline: number;
  /** Calls `run` where the caller goes before the answer. */
  readonly onCancelled: (run: () => void) => void;
}

/** A unary method that is served on HTTP/2 streams themselves. */
export interface UnaryMethod {
  /** `/package.Service/Method`. */
  readonly path: string;
  /** Most bytes of a message. */
  readonly maxBytes: number;
  /** Milliseconds in which the message must be complete; it may take twice as long where nothing else does. */
  readonly timeoutMs: number;
  /** Answers a call. Must not reject. */
  answer(call: UnaryCall): Promise<Buffer>;
  /** Told of each call that ended before its one message was complete. Must not throw. */
  unheard(connection: Connection): void;
  /** Told of a fault that took an answer away. Must not throw. */
  onFault(error: unknown): void;
}

/**
 * Bytes of messages that a connection may send before they are read: as much as it may have calls. With HTTP/2's 64 KiB, some fifty calls, a caller
 * would hold the rest back, and nobody here would know how long they wait (ADR 0029). What comes is read at once, and does not lie about.
 */
const WINDOW_BYTES = 1024 * 1024;

type Listener = (stream: ServerHttp2Stream, headers: IncomingHttpHeaders, ...rest: unknown[]) => void;

/**
 * Serves a unary method on the streams of a grpc-js server's connections, ahead of grpc-js, which goes on to serve all other methods on
 * them: what grpc-js does for each call costs more than a decision does (ADR 0027). On the wire nothing is different. What is not plainly
 * such a call (another encoding, a time-out that is none) is left to grpc-js too.
 */
export class UnaryStreams {
  readonly #method: UnaryMethod;
  readonly #taken = new WeakSet<object>();
  readonly #waiting = new WaitingCalls<UnaryStream>();
  #sweep: NodeJS.Timeout | undefined;

  constructor(method: UnaryMethod) {
    this.#method = method;
  }

  /**
   * Takes the method's streams of all HTTP/2 servers that grpc-js has made by now. False where grpc-js does not have them where it had them: then it
   * serves the method itself.
   */
  take(server: Server): boolean {
    const servers: unknown = Reflect.get(server, 'http2Servers');
    if (!(servers instanceof Map)) return false;
    for (const http2Server of servers.keys()) this.#takeFrom(http2Server as Http2Server);
    return true;
  }

  #takeFrom(server: Http2Server): void {
    if (this.#taken.has(server)) return;
    this.#taken.add(server);
    server.on('session', (session) => {
      session.setLocalWindowSize(WINDOW_BYTES);
      replaceStreamTables(session);
    });
    const { path, maxBytes } = this.#method;
    const others = server.listeners('stream') as Listener[];
    server.removeAllListeners('stream');
    server.on('stream', (stream: ServerHttp2Stream, headers: IncomingHttpHeaders, ...rest: unknown[]) => {
      const deadline = headers[':path'] === path && isPlain(headers) ? deadlineOf(headers) : undefined;
      const { session } = stream;
      if (deadline === undefined || !session)
        for (const other of others) other.call(server, stream, headers, ...rest);
      else
        this.#await(
          new UnaryStream(stream, headers, { connection: connectionOf(session), deadline, maxBytes }),
        );
    });
  }

  #await(call: UnaryStream): void {
    const { stream, reader } = call;
    this.#waiting.add(call);
    // Not at once: where it was we who were held up, what has long come is read first.
    this.#sweep ??= setInterval(() => setImmediate(() => this.#endOverdue()), this.#method.timeoutMs).unref();
    stream.on('error', () => undefined);
    stream.on('data', (chunk: Buffer) => {
      const problem = call.isWaiting ? reader.add(chunk) : undefined;
      if (problem) this.#refuse(call, problem);
    });
    stream.on('end', () => {
      const message = reader.message();
      if (message === 'none') this.#refuse(call, message);
      else if (this.#waiting.delete(call)) this.#answer(call, message);
    });
    stream.on('close', () => {
      if (this.#waiting.delete(call)) this.#method.unheard(call.connection);
      call.gone();
    });
  }

  #answer(call: UnaryStream, message: Buffer): void {
    const { headers, connection, deadline } = call;
    const onCancelled = (run: () => void): void => call.onGone(run);
    this.#method
      .answer({ message, headers, connection, deadline, onCancelled })
      .then((bytes) => call.send(bytes))
      .catch((error: unknown) => {
        call.stream.destroy();
        this.#method.onFault(error);
      });
  }

  #refuse(call: UnaryStream, problem: MessageProblem): void {
    const { code, details } = statusOf(problem, this.#method.path, this.#method.maxBytes);
    this.#end(call, code, details);
  }

  #end(call: UnaryStream, code: number, details: string): void {
    if (!this.#waiting.delete(call)) return;
    this.#method.unheard(call.connection);
    call.fail(code, details);
  }

  #endOverdue(): void {
    const before = performance.now() - this.#method.timeoutMs;
    for (let call = this.#waiting.first; call; call = this.#waiting.first) {
      if (call.since > before) return;
      this.#end(call, status.DEADLINE_EXCEEDED, 'the message did not end in time');
    }
    clearInterval(this.#sweep);
    this.#sweep = undefined;
  }
}

function isPlain(headers: IncomingHttpHeaders): boolean {
  const { ':method': method, 'content-type': type = '', 'grpc-encoding': encoding = 'identity' } = headers;
  return method === 'POST' && encoding === 'identity' && /^application\/grpc(?:$|[+;])/.test(type);
}

const UNITS: Readonly<Record<string, number>> = {
  H: 3_600_000,
  M: 60_000,
  S: 1000,
  m: 1,
  u: 0.001,
  n: 0.000_001,
};

/** When the caller stops waiting, in Unix ms (gRPC over HTTP/2, Timeout); `undefined`: what it says is none. */
function deadlineOf({ 'grpc-timeout': timeout }: IncomingHttpHeaders): number | undefined {
  if (timeout === undefined) return Number.POSITIVE_INFINITY;
  const [, value, unit] = /^(\d{1,8})([HMSmun])$/.exec(String(timeout)) ?? [];
  return unit === undefined ? undefined : Date.now() + Number(value) * (UNITS[unit] ?? 0);
}
