import {
  type Metadata,
  type ServerInterceptor,
  ServerInterceptingCall,
  type ServerListener,
  type ServerUnaryCall,
  type ServiceDefinition,
  type sendUnaryData,
} from '@grpc/grpc-js';
import { CallScope } from '../../pdp/call-scope.ts';
import type { AccessRequest } from '../../pdp/access-request.ts';
import type { DecisionPoint } from '../../pdp/decide.ts';
import { decisionId } from '../../pdp/decision-id.ts';
import { type Refusal, denyFor, isRefusal, refuse } from '../../pdp/decision.ts';
import type { Clock } from '../../pdp/ports.ts';
import type { DecisionTrace } from '../../pdp/trace.ts';
import { type CallerRule, checkCaller, pepOf } from '../caller.ts';
import type { ExtAuthzTypes } from '../protos.ts';
import { parseTraceparent } from '../trace-context.ts';
import { decodeCheckRequest } from './decode.ts';
import { type EncodeOptions, createEncoder } from './encode.ts';

const CHECK_PATH = '/envoy.service.auth.v3.Authorization/Check';

/** What the ext_authz service needs. */
export interface ExtAuthzParts {
  readonly decisionPoint: DecisionPoint;
  readonly clock: Clock;
  readonly types: ExtAuthzTypes;
  readonly encoding: EncodeOptions;
  /** Absent on a plaintext listener. */
  readonly callers?: CallerRule;
  /** Our own limit on a check, in ms; the caller's deadline can only shorten it. */
  readonly timeoutMs: number;
  /** Checks under way at once; more are denied as `overloaded` right away. */
  readonly maxInFlight: number;
  /** Largest CheckRequest that is decided on, in bytes. */
  readonly maxRequestBytes: number;
  /** Told how long encoding took. Must not throw. */
  onEncoded(microseconds: number): void;
  /** Told of a fault that not even a decision could be made of. Must not throw. */
  onFault(error: unknown): void;
}

type Call = ServerUnaryCall<Buffer, Buffer>;

/** Bytes in, bytes out: a message that cannot be decoded must become a recorded deny, not an RPC error. */
const identity = (bytes: Buffer) => bytes;

/** The service definition of `envoy.service.auth.v3.Authorization`, on raw bytes. */
export const EXT_AUTHZ_SERVICE: ServiceDefinition = {
  Check: {
    path: CHECK_PATH,
    requestStream: false,
    responseStream: false,
    requestSerialize: identity,
    requestDeserialize: identity,
    responseSerialize: identity,
    responseDeserialize: identity,
  },
};

/** Serves ext_authz v3 checks: decodes, has them decided and recorded, encodes. */
export class ExtAuthzService {
  readonly #parts: ExtAuthzParts;
  readonly #encode: ReturnType<typeof createEncoder>;
  #inFlight = 0;

  constructor(parts: ExtAuthzParts) {
    this.#parts = parts;
    this.#encode = createEncoder(parts.types.CheckResponse, parts.encoding);
  }

  /** Checks under way. */
  get inFlight(): number {
    return this.#inFlight;
  }

  /** Handlers for a grpc-js server. */
  get handlers() {
    return {
      Check: (call: Call, callback: sendUnaryData<Buffer>): void => {
        this.#check(call).then(
          (answer) => callback(null, answer),
          // Only a bug leads here; even then the answer is a well-formed deny.
          (error: unknown) => {
            this.#parts.onFault(error);
            callback(null, this.#encode(decisionId(this.#parts.clock.now()), denyFor(refuse('internal'))));
          },
        );
      },
    };
  }

  /** Records calls that end before their one message is complete: they never reach the handler. */
  get interceptor(): ServerInterceptor {
    return (method, call) => {
      if (method.path !== CHECK_PATH) return new ServerInterceptingCall(call);
      const progress = new CallProgress();
      const end = (): void => {
        if (progress.claim())
          this.#recordUnheard(call.getPeer()).catch((error: unknown) => this.#parts.onFault(error));
      };
      return new ServerInterceptingCall(call, {
        start: (next) => {
          next(progress.listener(end));
          // Unfinished messages cost memory, and their callers have not even been looked at.
          const overdue = setTimeout(() => {
            if (progress.waiting) call.sendStatus({ code: 4, details: 'the message did not end in time' });
            if (progress.waiting) end();
          }, this.#parts.timeoutMs);
          progress.onClaim = () => clearTimeout(overdue);
          // A call that was reset before we looked tells its listener nothing, not even its end.
          if (!progress.started) end();
        },
      });
    };
  }

  async #check(call: Call): Promise<Buffer> {
    const { decisionPoint, clock, types, callers } = this.#parts;
    const startedAt = clock.monotonic();
    const receivedAt = clock.now();
    this.#inFlight += 1;
    using scope = new CallScope(clock, this.#remaining(call, receivedAt));
    call.on('cancelled', () => scope.cancel());
    try {
      const pep = pepOf(call, callers);
      const question =
        this.#turnedAway() ??
        checkCaller(pep, callers) ??
        this.#tooLong(call.request.length) ??
        decodeCheckRequest(call.request, types.CheckRequest);
      const envelope = {
        id: decisionId(receivedAt),
        surface: 'ext_authz' as const,
        pep,
        receivedAt,
        startedAt,
        ...correlation(question, call.metadata),
      };
      const decodeUs = (clock.monotonic() - startedAt) * 1000;
      return this.#answer(await decisionPoint.decide({ envelope, question, scope, decodeUs }));
    } finally {
      this.#inFlight -= 1;
    }
  }

  #answer(trace: DecisionTrace): Buffer {
    const started = this.#parts.clock.monotonic();
    const bytes = this.#encode(trace.id, trace.decision);
    this.#parts.onEncoded((this.#parts.clock.monotonic() - started) * 1000);
    return bytes;
  }

  #turnedAway(): Refusal | undefined {
    if (this.#inFlight > this.#parts.maxInFlight)
      return refuse('overloaded', `more than ${this.#parts.maxInFlight} checks under way`);
    return undefined;
  }

  #tooLong(bytes: number): Refusal | undefined {
    const { maxRequestBytes } = this.#parts;
    return bytes > maxRequestBytes
      ? refuse('request_malformed', `the CheckRequest is larger than ${maxRequestBytes} bytes`)
      : undefined;
  }

  #remaining(call: Call, now: number): number {
    const deadline = call.getDeadline();
    const callers = (typeof deadline === 'number' ? deadline : deadline.getTime()) - now;
    // A grpc-timeout may be absurd enough to give no date at all.
    return Number.isFinite(callers) ? Math.min(callers, this.#parts.timeoutMs) : this.#parts.timeoutMs;
  }

  async #recordUnheard(address: string): Promise<void> {
    const { clock, decisionPoint } = this.#parts;
    const receivedAt = clock.now();
    using scope = new CallScope(clock, this.#parts.timeoutMs);
    await decisionPoint.decide({
      envelope: {
        id: decisionId(receivedAt),
        surface: 'ext_authz',
        pep: { address },
        receivedAt,
        startedAt: clock.monotonic(),
      },
      question: refuse('cancelled', 'the call ended before its message was complete'),
      scope,
      decodeUs: 0,
    });
  }
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

/** What request ids look like; anything else may be a secret that somebody sent in the wrong header. */
const REQUEST_ID = /^[\w.:+/=-]+$/;
const MAX_REQUEST_ID_LENGTH = 128;

/** The PEP's own trace context first: it is nearer to us than the one in the request it asks about. */
function correlation(question: AccessRequest | Refusal, metadata: Metadata) {
  const headers = isRefusal(question) ? undefined : question.http.headers;
  const [own] = metadata.get('traceparent');
  const trace = parseTraceparent(own?.toString()) ?? parseTraceparent(headers?.values('traceparent')[0]);
  const [requestId = ''] = headers?.values('x-request-id') ?? [];
  return {
    ...(trace && { trace }),
    ...(REQUEST_ID.test(requestId) && { requestId: requestId.slice(0, MAX_REQUEST_ID_LENGTH) }),
  };
}
