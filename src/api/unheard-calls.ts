import {
  type ServerInterceptingCallInterface,
  type ServerInterceptor,
  ServerInterceptingCall,
  type ServerListener,
  status,
} from '@grpc/grpc-js';

/** What the record of such a call says. */
export const UNHEARD = 'the call ended before its message was complete';

/**
 * Sees to unary calls of the given `paths` that end before their one message is complete, and so never reach a handler: `onUnheard` is
 * told of each, and those that are not complete after `timeoutMs` are ended.
 */
export function interceptUnheard(
  paths: readonly string[],
  timeoutMs: number,
  onUnheard: (call: ServerInterceptingCallInterface) => void,
): ServerInterceptor {
  return (method, call) => {
    if (!paths.includes(method.path)) return new ServerInterceptingCall(call);
    const progress = new CallProgress();
    const end = (): void => {
      if (progress.claim()) onUnheard(call);
    };
    return new ServerInterceptingCall(call, {
      start: (next) => {
        next(progress.listener(end));
        // Unfinished messages cost memory, and their callers have not even been looked at.
        const overdue = setTimeout(() => {
          const details = 'the message did not end in time';
          if (progress.waiting) call.sendStatus({ code: status.DEADLINE_EXCEEDED, details });
          if (progress.waiting) end();
        }, timeoutMs);
        progress.onClaim = () => clearTimeout(overdue);
        // A call that was reset before we looked tells its listener nothing, not even its end.
        if (!progress.started) end();
      },
    });
  };
}

/** How far a call has come on its way to the handler. */
class CallProgress {
  started = false;
  #messages = 0;
  #claimed = false;
  /** Told when the call is taken on. */
  onClaim: (() => void) | undefined;

  /** Whether nobody has taken on the call yet. */
  get waiting(): boolean {
    return !this.#claimed;
  }

  /** Whether nobody has taken on the call yet; from then on somebody has. */
  claim(): boolean {
    const free = !this.#claimed;
    this.#claimed = true;
    this.onClaim?.();
    return free;
  }

  listener(onCancel: () => void): ServerListener {
    return {
      onReceiveMetadata: (metadata, proceed) => {
        this.started = true;
        proceed(metadata);
      },
      onReceiveMessage: (message: unknown, proceed) => {
        this.#messages += 1;
        proceed(message);
      },
      onReceiveHalfClose: (proceed) => {
        // A stream that is reset ends too, but without a message, and then the handler is not called.
        if (this.#messages === 1) this.claim();
        proceed();
      },
      onCancel,
    };
  }
}
