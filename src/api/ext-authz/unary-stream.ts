import type { IncomingHttpHeaders, ServerHttp2Stream } from 'node:http2';
import { status } from '@grpc/grpc-js';
import type { Connection } from '../caller.ts';
import type { Waiting } from './waiting-calls.ts';
import { SameTrailers } from './same-trailers.ts';
import { HEAD_BYTES, type MessageProblem, MessageReader } from './message-reader.ts';

const CONTENT_TYPE = 'application/grpc+proto';
/** What grpc-js sends before a message, in its order; names and values in turn, which Node.js has less to do for than for an object. */
const HEADERS: readonly string[] = Object.entries({
  ':status': '200',
  'content-type': CONTENT_TYPE,
  'grpc-accept-encoding': 'identity,deflate,gzip',
  'grpc-encoding': 'identity',
}).flat();
const WITH_TRAILERS = { waitForTrailers: true } as const;
const OK = new SameTrailers({ 'grpc-status': status.OK, 'grpc-message': 'OK' });

/** A call on a stream of its own, whose message may still be on its way. */
export class UnaryStream implements Waiting<UnaryStream> {
  before: UnaryStream | undefined;
  after: UnaryStream | undefined;
  isWaiting = false;
  readonly stream: ServerHttp2Stream;
  readonly headers: IncomingHttpHeaders;
  readonly connection: Connection;
  /** Unix ms; infinite where the caller names none. */
  readonly deadline: number;
  /** Monotonic ms. */
  readonly since = performance.now();
  readonly reader: MessageReader;
  #isOver = false;
  #onGone: (() => void) | undefined;

  constructor(
    stream: ServerHttp2Stream,
    headers: IncomingHttpHeaders,
    call: { readonly connection: Connection; readonly deadline: number; readonly maxBytes: number },
  ) {
    this.stream = stream;
    this.headers = headers;
    this.connection = call.connection;
    this.deadline = call.deadline;
    this.reader = new MessageReader(call.maxBytes);
  }

  /** Calls `run` where the caller goes before the answer, or has gone. */
  onGone(run: () => void): void {
    if (this.#isClosed) run();
    else this.#onGone = run;
  }

  /** The stream is closed. */
  gone(): void {
    if (!this.#isOver) this.#onGone?.();
    this.#over();
  }

  /** Node.js keeps a stream for long after its end, and with it all that hangs on it. */
  #over(): void {
    this.#isOver = true;
    this.#onGone = undefined;
  }

  /** Answers, if anybody is there. */
  send(message: Buffer): void {
    this.#over();
    if (this.#isClosed) return;
    const frame = Buffer.allocUnsafe(HEAD_BYTES + message.length);
    frame[0] = 0;
    frame.writeUInt32BE(message.length, 1);
    message.copy(frame, HEAD_BYTES);
    // Of its own: Node.js adds the date to the very list.
    this.stream.respond([...HEADERS], WITH_TRAILERS);
    OK.end(this.stream, frame);
  }

  /** Ends the call with a status and without a message. What still comes is not read. */
  fail(code: number, details: string): void {
    this.#over();
    if (this.#isClosed) return;
    const trailers = {
      'grpc-status': code,
      'grpc-message': encodeURI(details),
      ':status': 200,
      'content-type': CONTENT_TYPE,
    };
    this.stream.respond(trailers, { endStream: true });
    // Not at once, for trailers that are not written yet would be lost.
    setImmediate(() => this.stream.close());
  }

  get #isClosed(): boolean {
    return this.stream.closed || this.stream.destroyed;
  }
}

/** The status that grpc-js ends a call of `path` with for a problem with its message, and its words. */
export function statusOf(
  problem: MessageProblem,
  path: string,
  maxBytes: number,
): { readonly code: number; readonly details: string } {
  if (typeof problem === 'object') {
    const details = `Received message larger than max (${problem.size} vs ${maxBytes})`;
    return { code: status.RESOURCE_EXHAUSTED, details };
  }
  const which = problem === 'none' ? 'no' : 'a second';
  const details = `Received ${which} request message for server streaming method ${path}`;
  return { code: status.UNIMPLEMENTED, details };
}
