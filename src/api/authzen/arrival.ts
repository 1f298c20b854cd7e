import type { Socket } from 'node:net';
import type { FastifyRequest } from 'fastify';
import { CallScope } from '../../pdp/call-scope.ts';
import type { DecisionPoint, Incoming } from '../../pdp/decide.ts';
import { decisionId } from '../../pdp/decision-id.ts';
import type { Refusal } from '../../pdp/decision.ts';
import type { Clock } from '../../pdp/ports.ts';
import type { DecisionTrace, Envelope } from '../../pdp/trace.ts';
import { correlationOf } from '../call.ts';
import { callerOn } from '../caller.ts';
import type { InFlight } from '../in-flight.ts';
import { type Access, type Asker, askerOf } from '../question/access.ts';

/** What answering a call needs, whatever it asks. */
export interface CallParts {
  readonly clock: Clock;
  readonly decisionPoint: DecisionPoint;
  readonly access: Access;
  /** Shared with all other services. */
  readonly inFlight: InFlight;
}

/** A call that has come in. */
export interface Arrival {
  readonly envelope: Envelope;
  readonly asker: Asker;
  readonly scope: CallScope;
  /** Why it is turned away. */
  readonly full: Refusal | undefined;
}

/** Runs `answer` for one call: counted, within `limitMs`, cancelled when the caller goes away. */
export async function arrive<T>(
  { clock, access, inFlight }: CallParts,
  request: FastifyRequest,
  limitMs: number,
  answer: (arrival: Arrival) => Promise<T>,
): Promise<T> {
  const startedAt = clock.monotonic();
  const receivedAt = clock.now();
  const full = inFlight.refusal('authzen');
  using _counted = inFlight.enter();
  using scope = new CallScope(clock, limitMs);
  const stay = onLeave(request.raw.socket, () => scope.cancel());
  try {
    const caller = callerOn(request.socket, access.plaintext, 'own', receivedAt);
    // In `headers` a second one would be gone.
    const { authorization = [] } = request.raw.headersDistinct;
    const asker = await askerOf(caller, authorization, access, receivedAt);
    const envelope = {
      id: decisionId(receivedAt),
      surface: 'authzen' as const,
      pep: asker.pep,
      receivedAt,
      startedAt,
      ...correlationOf((name) => singleValue(request.headers[name])),
    };
    return await answer({ envelope, asker, scope, full });
  } finally {
    stay();
  }
}

const waiting = new WeakMap<Socket, Set<() => void>>();

/** Calls `leave` when the connection ends before what is returned is called. One listener for a connection, however many calls it pipelines. */
function onLeave(socket: Socket, leave: () => void): () => void {
  const calls = waiting.get(socket) ?? new Set();
  if (!waiting.has(socket)) {
    waiting.set(socket, calls);
    socket.once('close', () => calls.forEach((gone) => gone()));
  }
  if (socket.destroyed) leave();
  calls.add(leave);
  return () => void calls.delete(leave);
}

function singleValue(value: string | readonly string[] | undefined): string | undefined {
  return typeof value === 'string' ? value : value?.[0];
}

/** Decides one question of a call. */
export function decide(
  { clock, decisionPoint }: CallParts,
  question: Incoming['question'],
  { envelope, scope }: Arrival,
  more: Pick<Incoming, 'snapshot'> = {},
): Promise<DecisionTrace> {
  const decodeUs = (clock.monotonic() - envelope.startedAt) * 1000;
  return decisionPoint.decide({ envelope, question, scope, decodeUs, ...more });
}
