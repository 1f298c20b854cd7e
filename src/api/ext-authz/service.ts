import { type ServerUnaryCall, type ServiceDefinition, type sendUnaryData } from '@grpc/grpc-js';
import { CallScope } from '../../pdp/call-scope.ts';
import type { DecisionPoint, Incoming } from '../../pdp/decide.ts';
import { decisionId } from '../../pdp/decision-id.ts';
import { type Refusal, denyFor, isRefusal, refuse } from '../../pdp/decision.ts';
import type { Clock } from '../../pdp/ports.ts';
import type { DecisionTrace } from '../../pdp/trace.ts';
import { correlation, remainingMs } from '../call.ts';
import { callerOf } from '../caller.ts';
import type { InFlight } from '../in-flight.ts';
import type { OnwardIdentity } from '../onward/onward-identity.ts';
import { type ExtAuthzTypes, rawMethod } from '../protos.ts';
import { type Recorded, UNHEARD } from '../unheard-calls.ts';
import { decodeCheckRequest } from './decode.ts';
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

/** The service definition of `envoy.service.auth.v3.Authorization`, on raw bytes. */
export const EXT_AUTHZ_SERVICE: ServiceDefinition = {
  Check: rawMethod(CHECK_PATH),
};

/** Serves ext_authz v3 checks: decodes, has them decided and recorded, encodes. */
export class ExtAuthzService {
  readonly #parts: ExtAuthzParts;
  readonly #encode: ReturnType<typeof createEncoder>;

  constructor(parts: ExtAuthzParts) {
    this.#parts = parts;
    this.#encode = createEncoder(parts.types.CheckResponse, {
      ...parts.encoding,
      ...(parts.onward && { identityHeader: parts.onward.header }),
    });
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
  get unheard(): Recorded {
    return {
      paths: [CHECK_PATH],
      timeoutMs: this.#parts.timeoutMs,
      record: (call) => void this.#recordUnheard(call).catch((error: unknown) => this.#parts.onFault(error)),
    };
  }

  async #check(call: Call): Promise<Buffer> {
    const { clock, types, plaintext, inFlight, timeoutMs } = this.#parts;
    const startedAt = clock.monotonic();
    const receivedAt = clock.now();
    using _counted = inFlight.enter();
    using scope = new CallScope(clock, remainingMs(call, receivedAt, timeoutMs));
    call.on('cancelled', () => scope.cancel());
    const { pep, refusal } = callerOf(call, plaintext, 'surface', receivedAt);
    const question =
      this.#turnedAway() ??
      refusal ??
      this.#tooLong(call.request.length) ??
      decodeCheckRequest(call.request, types.CheckRequest);
    const envelope = {
      id: decisionId(receivedAt),
      surface: 'ext_authz' as const,
      pep,
      receivedAt,
      startedAt,
      ...correlation(call.metadata, isRefusal(question) ? undefined : question.http.headers),
    };
    const decodeUs = (clock.monotonic() - startedAt) * 1000;
    return await this.#decide({ envelope, question, scope, decodeUs });
  }

  async #decide(incoming: Incoming): Promise<Buffer> {
    const { decisionPoint, onward } = this.#parts;
    if (!onward) return this.#answer(await decisionPoint.decide(incoming));
    let identity: string | undefined;
    const complete = (permitted: DecisionTrace): Refusal | undefined => {
      const signed = onward.sign(permitted);
      if (typeof signed !== 'string') return signed;
      identity = signed;
      return undefined;
    };
    const trace = await decisionPoint.decide({ ...incoming, complete });
    return this.#answer(trace, identity);
  }

  #answer(trace: DecisionTrace, identity?: string): Buffer {
    const started = this.#parts.clock.monotonic();
    const bytes = this.#encode(trace.id, trace.decision, identity);
    this.#parts.onEncoded((this.#parts.clock.monotonic() - started) * 1000);
    return bytes;
  }

  #turnedAway(): Refusal | undefined {
    const { inFlight } = this.#parts;
    if (inFlight.exceeded) return refuse('overloaded', `more than ${inFlight.max} checks under way`);
    return undefined;
  }

  #tooLong(bytes: number): Refusal | undefined {
    const { maxRequestBytes } = this.#parts;
    return bytes > maxRequestBytes
      ? refuse('request_malformed', `the CheckRequest is larger than ${maxRequestBytes} bytes`)
      : undefined;
  }

  async #recordUnheard(call: Parameters<typeof callerOf>[0]): Promise<void> {
    const { clock, decisionPoint, plaintext } = this.#parts;
    const receivedAt = clock.now();
    using scope = new CallScope(clock, this.#parts.timeoutMs);
    await decisionPoint.decide({
      envelope: {
        id: decisionId(receivedAt),
        surface: 'ext_authz',
        pep: callerOf(call, plaintext, 'surface', receivedAt).pep,
        receivedAt,
        startedAt: clock.monotonic(),
      },
      question: refuse('cancelled', UNHEARD),
      scope,
      decodeUs: 0,
    });
  }
}
