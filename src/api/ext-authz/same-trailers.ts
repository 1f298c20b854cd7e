import type { OutgoingHttpHeaders, ServerHttp2Stream } from 'node:http2';
import { isKnownNode } from './known-node.ts';

/** What Node.js has in C++ of a stream. */
interface StreamHandle {
  trailers(list: unknown): number;
}

/**
 * Ends answers with trailers that are always the same in the write that their last bytes are in. By itself Node.js ends the message when that write is
 * done, asks for trailers in the turn of the event loop after it, and sends them in the one after that: a second write to the socket, and a caller who
 * has the whole message and waits for the word that it was all (ADR 0033). Where Node.js keeps its streams in another way than it did, it is left to do so.
 */
export class SameTrailers {
  readonly #trailers: OutgoingHttpHeaders;
  readonly #isKnown: boolean;
  /** The trailers as Node.js hands them to its own code: it made them, and gets them again. */
  #list: unknown;

  constructor(trailers: OutgoingHttpHeaders, version = process.versions.node) {
    this.#trailers = trailers;
    this.#isKnown = isKnownNode(version);
  }

  /** Sends the last bytes of a stream that was begun with `waitForTrailers`, and the trailers. */
  end(stream: ServerHttp2Stream, chunk: Buffer): void {
    stream.once('wantTrailers', () => this.#send(stream));
    stream.end(chunk);
    // It is told now that no more bytes follow, not when these are written. The second time, when Node.js does so, does nothing.
    if (this.#handle(stream)) stream._final(ignore);
  }

  /** Called while HTTP/2 frames are made of what was given. */
  #send(stream: ServerHttp2Stream): void {
    const handle = this.#handle(stream);
    if (!handle) return stream.sendTrailers(this.#trailers);
    if (this.#list === undefined) return this.#sendFirst(stream, handle);
    const code = handle.trailers(this.#list);
    if (code < 0) stream.destroy(new Error(`the trailers could not be sent: nghttp2 error ${code}`));
    else endWith(stream, ENDED);
  }

  #handle(stream: ServerHttp2Stream): StreamHandle | undefined {
    return this.#isKnown ? handleOf(stream) : undefined;
  }

  #sendFirst(stream: ServerHttp2Stream, handle: StreamHandle): void {
    const trailers = handle.trailers.bind(handle);
    handle.trailers = (list) => {
      this.#list = list;
      return trailers(list);
    };
    stream.sendTrailers(this.#trailers);
  }
}

/** For every stream: Node.js would make an error for each of them, which costs a tenth of what an answer does. */
const ENDED = new Error('the stream has ended');

/**
 * Names the error for whoever still waits for the write when the stream is gone. Its last frame closes a stream before Node.js is told that its bytes are
 * written; it then makes such an error, though nobody waits.
 */
function endWith(stream: ServerHttp2Stream, error: Error): void {
  const state: unknown = Reflect.get(stream, '_writableState');
  if (typeof state === 'object' && state !== null && 'errored' in state) state.errored = error;
}

function ignore(): void {
  // Whoever waits for the end of the stream hears of it from the stream.
}

let handleKey: symbol | undefined;

function handleOf(stream: ServerHttp2Stream): StreamHandle | undefined {
  handleKey ??= Object.getOwnPropertySymbols(stream).find(({ description }) => description === 'kHandle');
  const handle: unknown = handleKey && Reflect.get(stream, handleKey);
  return isStreamHandle(handle) ? handle : undefined;
}

function isStreamHandle(handle: unknown): handle is StreamHandle {
  return (
    typeof handle === 'object' &&
    handle !== null &&
    'trailers' in handle &&
    typeof handle.trailers === 'function'
  );
}
