import {
  type ServerInterceptingCallInterface,
  type ServerUnaryCall,
  type sendUnaryData,
  status,
} from '@grpc/grpc-js';
import type protobuf from 'protobufjs';
import type { AccessRequest } from '../../pdp/access-request.ts';
import { CallScope } from '../../pdp/call-scope.ts';
import type { DecisionPoint, Incoming } from '../../pdp/decide.ts';
import { decisionId } from '../../pdp/decision-id.ts';
import { type Refusal, isRefusal, refuse } from '../../pdp/decision.ts';
import type { EntityQuestion } from '../../pdp/entity-question.ts';
import type { Clock, PolicySnapshotSource } from '../../pdp/ports.ts';
import type { DecisionTrace, Envelope } from '../../pdp/trace.ts';
import { correlation, remainingMs } from '../call.ts';
import type { InFlight } from '../in-flight.ts';
import type { DecisionServiceTypes } from '../protos.ts';
import { type Recorded, UNHEARD } from '../unheard-calls.ts';
import { type Access, type Asker, askerOf, mayNotAsk, mayNotHaveWhy } from '../question/access.ts';
import { answerBatch } from '../question/batch.ts';
import { type WireBatch, batchProblem, semanticOf, withDefaults } from './wire-batch.ts';
import { callerOf } from '../caller.ts';
import { type QuestionOptions, createQuestionReader } from '../question/question-reader.ts';
import { type WireQuestion, decodeMessage, plainQuestion } from './decode.ts';
import { DECISION_SERVICE_PATHS } from './definition.ts';
import { batchResult, checkResponse } from './encode.ts';
import { Explainer } from './explainer.ts';
import { type RpcError, batchErrorOf, rpcErrorOf, serviceErrorOf } from './rpc-error.ts';
import { grantRefusal } from '../question/grants.ts';
import { type WireHttpQuestion, accessRequestOf } from './http-question.ts';

/** What the decision service needs. */
export interface DecisionServiceParts {
  readonly decisionPoint: DecisionPoint;
  /** Where a batch takes its one snapshot from. */
  readonly snapshots: PolicySnapshotSource;
  readonly clock: Clock;
  readonly types: DecisionServiceTypes;
  readonly decoding: QuestionOptions;
  readonly access: Access;
  /** Shared with the other services of the listener. */
  readonly inFlight: InFlight;
  /** Our own limit on one question, in ms; the caller's deadline can only shorten it. */
  readonly timeoutMs: number;
  /** The same on a whole batch. */
  readonly batchTimeoutMs: number;
  readonly maxBatchItems: number;
  /** Largest message that is read, in bytes. */
  readonly maxRequestBytes: number;
  /** Told how long encoding took. Must not throw. */
  onEncoded(microseconds: number): void;
  /** Told of a fault that not even a decision could be made of. Must not throw. */
  readonly onFault: (error: unknown) => void;
}

type Call = ServerUnaryCall<Buffer, Buffer>;
type Question = AccessRequest | EntityQuestion | Refusal;

interface Arrival {
  readonly envelope: Envelope;
  readonly asker: Asker;
  readonly scope: CallScope;
  /** Why it is turned away. */
  readonly full: Refusal | undefined;
}

interface WireExplain {
  readonly check?: WireQuestion | null;
  readonly http?: WireHttpQuestion | null;
}

/** Serves questions of applications: by the pipeline, the caches and the records that serve the mesh. */
export class DecisionService {
  readonly #parts: DecisionServiceParts;
  readonly #read: ReturnType<typeof createQuestionReader>;
  readonly #explainer = new Explainer();

  constructor(parts: DecisionServiceParts) {
    this.#parts = parts;
    this.#read = createQuestionReader(parts.decoding);
  }

  /** Handlers for a grpc-js server. */
  get handlers() {
    const { timeoutMs, batchTimeoutMs } = this.#parts;
    return {
      Check: this.#handler(timeoutMs, (bytes, arrival) => this.#check(bytes, arrival)),
      BatchCheck: this.#handler(batchTimeoutMs, (bytes, arrival) => this.#batch(bytes, arrival)),
      Explain: this.#handler(timeoutMs, (bytes, arrival) => this.#explain(bytes, arrival)),
    };
  }

  /** Records calls that end before their one message is complete: they never reach a handler. */
  get unheard(): Recorded {
    const { clock, decisionPoint, timeoutMs, access, onFault } = this.#parts;
    const record = async (call: ServerInterceptingCallInterface): Promise<void> => {
      const [receivedAt, startedAt] = [clock.now(), clock.monotonic()];
      using scope = new CallScope(clock, timeoutMs);
      const { pep } = callerOf(call, access.plaintext, 'own', receivedAt);
      const envelope = { id: decisionId(receivedAt), surface: 'check' as const, pep, receivedAt, startedAt };
      await decisionPoint.decide({ envelope, question: refuse('cancelled', UNHEARD), scope, decodeUs: 0 });
    };
    return {
      paths: DECISION_SERVICE_PATHS,
      timeoutMs,
      record: (call) => void record(call).catch(onFault),
    };
  }

  #handler(limitMs: number, answer: (bytes: Buffer, arrival: Arrival) => Promise<Buffer | RpcError>) {
    return (call: Call, callback: sendUnaryData<Buffer>): void => {
      this.#arrive(call, limitMs, answer).then(
        (result) =>
          result instanceof Uint8Array ? callback(null, result) : callback(serviceErrorOf(result)),
        (error: unknown) => {
          this.#parts.onFault(error);
          callback({ code: status.INTERNAL, details: 'internal error' });
        },
      );
    };
  }

  async #arrive(
    call: Call,
    limitMs: number,
    answer: (bytes: Buffer, arrival: Arrival) => Promise<Buffer | RpcError>,
  ): Promise<Buffer | RpcError> {
    const { clock, inFlight, access } = this.#parts;
    const startedAt = clock.monotonic();
    const receivedAt = clock.now();
    const full = inFlight.refusal('check');
    using _counted = inFlight.enter();
    using scope = new CallScope(clock, remainingMs(call.getDeadline(), receivedAt, limitMs));
    call.on('cancelled', () => scope.cancel());
    const caller = callerOf(call, access.plaintext, 'own', receivedAt);
    const authorization = call.metadata.get('authorization').map(String);
    const asker = await askerOf(caller, authorization, access, receivedAt);
    const envelope = {
      id: decisionId(receivedAt),
      surface: 'check' as const,
      pep: asker.pep,
      receivedAt,
      startedAt,
      ...correlation(call.metadata),
    };
    return await answer(call.request, { envelope, asker, scope, full });
  }

  async #check(bytes: Buffer, arrival: Arrival): Promise<Buffer | RpcError> {
    const { types } = this.#parts;
    const wire = this.#open(bytes, types.CheckRequest, arrival.full ?? mayNotAsk(arrival.asker)) as
      WireQuestion | Refusal;
    const question = isRefusal(wire) ? wire : this.#question(wire, arrival);
    const trace = await this.#decide(question, arrival);
    return (
      rpcErrorOf(trace, arrival.asker.unauthenticated) ??
      this.#encoded(types.CheckResponse, () => checkResponse(trace, arrival.asker.mayExplain))
    );
  }

  async #batch(bytes: Buffer, arrival: Arrival): Promise<Buffer | RpcError> {
    const { types, snapshots, clock } = this.#parts;
    const message = this.#open(bytes, types.BatchCheckRequest, arrival.full ?? mayNotAsk(arrival.asker)) as
      WireBatch | Refusal;
    const wire = isRefusal(message) ? message : (batchProblem(message, this.#parts.maxBatchItems) ?? message);
    if (isRefusal(wire))
      return batchErrorOf(await this.#decide(wire, arrival), arrival.asker.unauthenticated);
    const snapshot = snapshots.current();
    const { id: batch, receivedAt } = arrival.envelope;
    const answers = await answerBatch(wire.items, semanticOf(wire.semantic), async (item) => {
      const envelope = {
        ...arrival.envelope,
        id: decisionId(receivedAt),
        startedAt: clock.monotonic(),
        batch,
      };
      const question = arrival.scope.interruption() ?? this.#question(withDefaults(item, wire), arrival);
      using scope = arrival.scope.part();
      const trace = await this.#decide(question, { ...arrival, envelope, scope }, { snapshot });
      return { permitted: trace.decision.verdict === 'permit', trace };
    });
    const tellPolicies = arrival.asker.mayExplain;
    return this.#encoded(types.BatchCheckResponse, () => ({
      results: answers.map(({ trace }) => batchResult(trace, tellPolicies)),
      batchId: batch,
      snapshot: snapshot?.digest ?? '',
    }));
  }

  async #explain(bytes: Buffer, arrival: Arrival): Promise<Buffer | RpcError> {
    const { types } = this.#parts;
    const wire = this.#open(bytes, types.ExplainRequest, arrival.full ?? mayNotHaveWhy(arrival.asker)) as
      WireExplain | Refusal;
    const question = isRefusal(wire) ? wire : this.#explainable(wire);
    const envelope = { ...arrival.envelope, explained: true as const };
    const trace = await this.#decide(question, { ...arrival, envelope });
    const error = rpcErrorOf(trace, arrival.asker.unauthenticated);
    if (error) return error;
    return this.#encoded(types.ExplainResponse, () => this.#explainer.response(trace));
  }

  #explainable({ check, http }: WireExplain): Question {
    if (http) return accessRequestOf(http);
    return check
      ? this.#read(plainQuestion(check))
      : refuse('request_malformed', 'neither check nor http is given');
  }

  #question(wire: WireQuestion, { asker }: Arrival): Question {
    const question = this.#read(plainQuestion(wire));
    return isRefusal(question) ? question : (grantRefusal(question, asker.grants) ?? question);
  }

  /** Whatever turns a call away before its message is looked at, else the message. */
  #open(bytes: Buffer, type: protobuf.Type, mayNot: Refusal | undefined): object {
    const { maxRequestBytes } = this.#parts;
    if (mayNot) return mayNot;
    if (bytes.length > maxRequestBytes)
      return refuse('request_malformed', `the message is larger than ${maxRequestBytes} bytes`);
    return decodeMessage(bytes, type);
  }

  #decide(
    question: Question,
    { envelope, scope }: Arrival,
    more: Pick<Incoming, 'snapshot'> = {},
  ): Promise<DecisionTrace> {
    const { clock, decisionPoint } = this.#parts;
    const decodeUs = (clock.monotonic() - envelope.startedAt) * 1000;
    return decisionPoint.decide({ envelope, question, scope, decodeUs, ...more });
  }

  #encoded(type: protobuf.Type, message: () => object): Buffer {
    const started = this.#parts.clock.monotonic();
    const bytes = type.encode(message()).finish() as Buffer;
    this.#parts.onEncoded((this.#parts.clock.monotonic() - started) * 1000);
    return bytes;
  }
}
