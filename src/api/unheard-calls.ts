import type { ServerHttp2Stream } from 'node:http2';
import {
  type ServerInterceptingCallInterface,
  type ServerInterceptor,
  type ServerListener,
  ServerInterceptingCall,
  status,
} from '@grpc/grpc-js';

/** What the record of such a call says. */
export const UNHEARD = 'the call ended before its message was complete';

/** Calls of one service that are to leave a record also where they never reach a handler. */
export interface Recorded {
  readonly paths: readonly string[];
  /** Milliseconds in which a message must be complete. */
  readonly timeoutMs: number;
  /** Told of each call that ended before its one message was complete. Must not throw. */
  record(call: ServerInterceptingCallInterface): void;
}

/** What holds for the methods that leave no records: health and reflection, which anybody who can connect may call. */
export interface Unrecorded {
  /** Milliseconds in which a message must be complete; the first one, where there are several. */
  readonly timeoutMs: number;
  /** Milliseconds in which the next message must come, where there are several. */
  readonly idleMs: number;
  /** Bytes in which a message must come with its five bytes of head, and all that it sends at once. */
  readonly maxBytes: number;
}

/**
 * Sees to calls whose message does not come whole, of every method: those that are not complete in time or too large are ended and
 * their streams closed, and those of `recorded` are told to their service. What is answered may take as long as it likes (`Watch`).
 */
export function interceptUnheard(recorded: readonly Recorded[], unrecorded: Unrecorded): ServerInterceptor {
  const services = new Map(recorded.flatMap((service) => service.paths.map((path) => [path, service])));
  return ({ path, requestStream }, call) => {
    const service = services.get(path);
    const { timeoutMs } = service ?? unrecorded;
    const idleMs = requestStream ? unrecorded.idleMs : undefined;
    const progress = new CallProgress(call, timeoutMs, idleMs, () => service?.record(call));
    return new ServerInterceptingCall(call, {
      start: (next) => {
        next(progress.listener());
        progress.begin();
        if (!service) progress.limit(unrecorded.maxBytes);
      },
    });
  };
}

/** How far a call has come on its way to the handler. */
class CallProgress {
  readonly #call: ServerInterceptingCallInterface;
  readonly #timeoutMs: number;
  readonly #idleMs: number | undefined;
  readonly #onUnheard: () => void;
  #started = false;
  #messages = 0;
  /** Bytes since the last message. */
  #bytes = 0;
  #over = false;
  #heard = false;
  #overdue: NodeJS.Timeout | undefined;

  constructor(
    call: ServerInterceptingCallInterface,
    timeoutMs: number,
    idleMs: number | undefined,
    onUnheard: () => void,
  ) {
    this.#call = call;
    this.#timeoutMs = timeoutMs;
    this.#idleMs = idleMs;
    this.#onUnheard = onUnheard;
  }

  /** Starts to wait for the message. */
  begin(): void {
    // A call that was reset before we looked tells its listener nothing, not even its end.
    if (!this.#started) this.#fail();
    else this.#await(this.#timeoutMs);
  }

  /** Ends the call where more than `maxBytes` come before they are a message. */
  limit(maxBytes: number): void {
    // grpc-js has one limit for all methods, and keeps what has come until the message is whole.
    streamOf(this.#call)?.on('data', (chunk: Buffer) => {
      this.#bytes += chunk.length;
      if (this.#bytes > maxBytes && !this.#over)
        this.#call.sendStatus({ code: status.RESOURCE_EXHAUSTED, details: 'the message is too large' });
    });
  }

  listener(): ServerListener {
    return {
      onReceiveMetadata: (metadata, proceed) => {
        this.#started = true;
        proceed(metadata);
      },
      onReceiveMessage: (message: unknown, proceed) => {
        this.#messages += 1;
        this.#bytes = 0;
        if (this.#idleMs !== undefined) this.#await(this.#idleMs);
        proceed(message);
      },
      onReceiveHalfClose: (proceed) => {
        // A stream that is reset ends too, but without a message, and then the handler is not called.
        if (this.#messages === 1 || this.#idleMs !== undefined) this.#claim();
        proceed();
      },
      onCancel: () => {
        this.#fail();
        // Whoever has not ended may have been answered: grpc-js would keep the stream, and what it has of a message, until he does.
        // Not at once, for trailers that are not written yet would be lost.
        if (!this.#heard) setImmediate(() => streamOf(this.#call)?.close());
      },
    };
  }

  #await(ms: number): void {
    clearTimeout(this.#overdue);
    // Unfinished messages cost memory, and their callers have not even been looked at.
    this.#overdue = setTimeout(() => {
      const details = 'the message did not end in time';
      this.#call.sendStatus({ code: status.DEADLINE_EXCEEDED, details });
      // A stream that is closed already tells nobody of its status.
      this.#fail();
    }, ms);
  }

  /** Everything that the client has to say is there. */
  #claim(): void {
    this.#heard = true;
    this.#over = true;
    clearTimeout(this.#overdue);
  }

  #fail(): void {
    clearTimeout(this.#overdue);
    if (this.#over) return;
    this.#over = true;
    this.#onUnheard();
  }
}

/** The stream of the innermost call: grpc-js shows it nowhere, and has no other way to let go of what a client does not end. */
function streamOf(call: ServerInterceptingCallInterface): ServerHttp2Stream | undefined {
  return Reflect.get(call, 'stream') as ServerHttp2Stream | undefined;
}
