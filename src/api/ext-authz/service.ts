import { type ServerUnaryCall, type ServiceDefinition, type sendUnaryData } from '@grpc/grpc-js';
import type { Pep } from '../../pdp/access-request.ts';
import { CallScope } from '../../pdp/call-scope.ts';
import type { DecisionPoint, Incoming } from '../../pdp/decide.ts';
import { decisionId } from '../../pdp/decision-id.ts';
import { type Deny, type Refusal, denyFor, isRefusal, refuse } from '../../pdp/decision.ts';
import type { Clock } from '../../pdp/ports.ts';
import type { DecisionTrace } from '../../pdp/trace.ts';
import { type JoiningFields, correlationOf, joiningFields, remainingMs } from '../call.ts';
import { type Caller, type Connection, callerOf, callerOfConnection } from '../caller.ts';
import type { InFlight } from '../in-flight.ts';
import type { OnwardIdentity } from '../onward/onward-identity.ts';
import { type ExtAuthzTypes, rawMethod } from '../protos.ts';
import { type Recorded, UNHEARD } from '../unheard-calls.ts';
import { decodeCheckRequest } from './decode.ts';
import { encodeOnce } from './answer-template.ts';
import { fingerprintOf } from './fingerprint.ts';
import type { UnaryCall, UnaryMethod } from './unary-streams.ts';
import { type EncodeOptions, createEncoder } from './encode.ts';

const CHECK_PATH = '/envoy.service.auth.v3.Authorization/Check';

/** What the ext_authz service needs. */
export interface ExtAuthzParts {
  readonly decisionPoint: DecisionPoint;
  readonly clock: Clock;
  readonly types: ExtAuthzTypes;
  readonly encoding: Omit<EncodeOptions, 'identityHeader'>;
  /** Signs who was permitted, for the service behind the PEP; absent: nothing is said. */
  readonly onward?: OnwardIdentity;
  /** Whether the surface is plaintext, by explicit choice, and takes anybody. */
  readonly plaintext: boolean;
  /** Our own limit on a check, in ms; the caller's deadline can only shorten it. */
  readonly timeoutMs: number;
  /** Checks under way at once, shared with the other services; more are denied as `overloaded` right away. */
  readonly inFlight: InFlight;
  /** Largest CheckRequest that is decided on, in bytes. */
  readonly maxRequestBytes: number;
  /** Told how long encoding took. Must not throw. */
  onEncoded(microseconds: number): void;
  /** Told of a fault that not even a decision could be made of. Must not throw. */
  onFault(error: unknown): void;
}

type Call = ServerUnaryCall<Buffer, Buffer>;

/** A check, whatever served its call. */
interface CheckCall extends Pick<UnaryCall, 'message' | 'onCancelled'> {
  /** A header field of the call itself. */
  readonly own: (name: string) => string | undefined;
  /** Unix ms, or a date. */
  readonly deadline: Date | number;
  readonly caller: Caller;
}

/** What a message comes to. */
interface Reading extends Pick<Incoming, 'question' | 'fingerprint' | 'recalled'> {
  readonly joining?: JoiningFields;
}

/** The service definition of `envoy.service.auth.v3.Authorization`, on raw bytes. */
export const EXT_AUTHZ_SERVICE: ServiceDefinition = {
  Check: rawMethod(CHECK_PATH),
};

/** Serves ext_authz v3 checks: decodes, has them decided and recorded, encodes. */
export class ExtAuthzService {
  readonly #parts: ExtAuthzParts;
  readonly #encode: ReturnType<typeof createEncoder>;
  readonly #encodeOnce: ReturnType<typeof encodeOnce>;
  /** The one deny of each reason to turn calls away, for what is prepared of it. */
  readonly #denies = new Map<Refusal, Deny>();

  constructor(parts: ExtAuthzParts) {
    this.#parts = parts;
    this.#encode = createEncoder(parts.types.CheckResponse, {
      ...parts.encoding,
      ...(parts.onward && { identityHeader: parts.onward.header }),
    });
    this.#encodeOnce = encodeOnce(this.#encode);
  }

  /** Handlers for a grpc-js server. */
  get handlers() {
    return {
      Check: (call: Call, callback: sendUnaryData<Buffer>): void => {
        this.#check(this.#callOf(call)).then(
          (answer) => callback(null, answer),
          (error: unknown) => callback(null, this.#fault(error)),
        );
      },
    };
  }

  /** Records calls that end before their one message is complete: they never reach the handler. */
  get unheard(): Recorded {
    return {
      paths: [CHECK_PATH],
      timeoutMs: this.#parts.timeoutMs,
      record: (call) =>
        this.#unheard(callerOf(call, this.#parts.plaintext, 'surface', this.#parts.clock.now()).pep),
    };
  }

  #unheard(pep: Pep): void {
    this.#recordUnheard(pep).catch((error: unknown) => this.#parts.onFault(error));
  }

  #callOf(call: Call): CheckCall {
    const { plaintext, clock } = this.#parts;
    return {
      message: call.request,
      own: (name) => call.metadata.get(name)[0]?.toString(),
      deadline: call.getDeadline(),
      caller: callerOf(call, plaintext, 'surface', clock.now()),
      onCancelled: (run) => void call.on('cancelled', run),
    };
  }

  /** `Check` on HTTP/2 streams themselves, ahead of grpc-js. */
  get unary(): UnaryMethod {
    const { plaintext, timeoutMs, maxRequestBytes, clock } = this.#parts;
    const callerOn = (connection: Connection) =>
      callerOfConnection(connection, plaintext, 'surface', clock.now());
    return {
      path: CHECK_PATH,
      // What is too long is to be denied and recorded, so more passes than is decided on.
      maxBytes: 4 * maxRequestBytes,
      timeoutMs,
      unheard: (connection) => this.#unheard(callerOn(connection).pep),
      onFault: (error) => this.#parts.onFault(error),
      answer: async ({ message, headers, connection, deadline, onCancelled }) => {
        const own = (name: string) => headers[name]?.toString();
        try {
          const call = { message, own, deadline, caller: callerOn(connection), onCancelled };
          return await this.#check(call);
        } catch (error) {
          return this.#fault(error);
        }
      },
    };
  }

  /** Only a bug leads here; even then the answer is a well-formed deny. */
  #fault(error: unknown): Buffer {
    this.#parts.onFault(error);
    return this.#encode(decisionId(this.#parts.clock.now()), denyFor(refuse('internal')));
  }

  #check(call: CheckCall): Promise<Buffer> {
    const refusal = this.#parts.inFlight.refusal('ext_authz');
    return refusal ? this.#turnAway(call, refusal) : this.#answerTo(call);
  }

  /** Cheap, for it is what is done when there is no time: the question is not looked at, and line and answer are ready but for the call's own values. */
  async #turnAway({ own, caller: { pep } }: CheckCall, refusal: Refusal): Promise<Buffer> {
    const { clock, decisionPoint } = this.#parts;
    let deny = this.#denies.get(refusal);
    if (!deny) this.#denies.set(refusal, (deny = denyFor(refusal)));
    const [startedAt, receivedAt] = [clock.monotonic(), clock.now()];
    const id = decisionId(receivedAt);
    const envelope = {
      id,
      surface: 'ext_authz' as const,
      pep,
      receivedAt,
      startedAt,
      ...correlationOf(own),
    };
    const { decision } = await decisionPoint.turnAway(envelope, deny);
    return decision === deny ? this.#encodeOnce(id, deny) : this.#encode(id, decision);
  }

  async #answerTo({ message, own, deadline, caller, onCancelled }: CheckCall): Promise<Buffer> {
    const { clock, inFlight, timeoutMs } = this.#parts;
    const startedAt = clock.monotonic();
    const receivedAt = clock.now();
    using _counted = inFlight.enter();
    using scope = new CallScope(clock, remainingMs(deadline, receivedAt, timeoutMs));
    onCancelled(() => scope.cancel());
    const { pep, refusal } = caller;
    const early = refusal ?? this.#tooLong(message.length);
    const { joining, ...read }: Reading = early ? { question: early } : this.#read(message);
    const envelope = {
      id: decisionId(receivedAt),
      surface: 'ext_authz' as const,
      pep,
      receivedAt,
      startedAt,
      ...correlationOf(own, joining),
    };
    const decodeUs = (clock.monotonic() - startedAt) * 1000;
    const incoming = { envelope, ...read, scope, decodeUs };
    if (this.#parts.onward) return await this.#decideOnward(incoming, this.#parts.onward);
    return this.#answer(await this.#parts.decisionPoint.decide(incoming));
  }

  /** A question that was asked before is known by its fingerprint, and not decoded again. */
  #read(bytes: Buffer): Reading {
    const { decisionPoint, types } = this.#parts;
    const print = fingerprintOf(bytes);
    const decode = () => decodeCheckRequest(bytes, types.CheckRequest);
    const answer = print && decisionPoint.recall(print);
    if (print && answer)
      return {
        question: answer.request,
        recalled: { answer, decode },
        fingerprint: print,
        joining: print,
      };
    const question = decode();
    if (isRefusal(question)) return { question };
    return { question, fingerprint: print, joining: print ?? joiningFields(question.http.headers) };
  }

  async #decideOnward(incoming: Incoming, onward: OnwardIdentity): Promise<Buffer> {
    let identity: string | undefined;
    const complete = (permitted: DecisionTrace): Refusal | undefined => {
      const signed = onward.sign(permitted);
      if (typeof signed !== 'string') return signed;
      identity = signed;
      return undefined;
    };
    const trace = await this.#parts.decisionPoint.decide({ ...incoming, complete });
    return this.#answer(trace, identity);
  }

  #answer(trace: DecisionTrace, identity?: string): Buffer {
    const started = this.#parts.clock.monotonic();
    const { id, decision, recent } = trace;
    const repeated = recent !== undefined && decision === recent.decision && identity === undefined;
    const bytes = repeated ? this.#encodeOnce(id, decision) : this.#encode(id, decision, identity);
    this.#parts.onEncoded((this.#parts.clock.monotonic() - started) * 1000);
    return bytes;
  }

  #tooLong(bytes: number): Refusal | undefined {
    const { maxRequestBytes } = this.#parts;
    return bytes > maxRequestBytes
      ? refuse('request_malformed', `the CheckRequest is larger than ${maxRequestBytes} bytes`)
      : undefined;
  }

  async #recordUnheard(pep: Pep): Promise<void> {
    const { clock, decisionPoint } = this.#parts;
    const receivedAt = clock.now();
    using scope = new CallScope(clock, this.#parts.timeoutMs);
    await decisionPoint.decide({
      envelope: {
        id: decisionId(receivedAt),
        surface: 'ext_authz',
        pep,
        receivedAt,
        startedAt: clock.monotonic(),
      },
      question: refuse('cancelled', UNHEARD),
      scope,
      decodeUs: 0,
    });
  }
}
