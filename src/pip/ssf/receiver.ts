import { PdpError, messageOf } from '../../pdp/errors.ts';
import type { Clock } from '../../pdp/ports.ts';
import type { SecurityEffects } from '../../pdp/security-event.ts';
import { type EffectRules, type EffectsReading, effectsOf } from './event-effects.ts';
import { SSF, eventType } from './events/event-types.ts';
import type { ReceivedEvents } from './received-events.ts';
import { type SecurityEventToken, type SetProblem, setProblem } from './security-event-token.ts';
import type { SetVerifier } from './set-verifier.ts';
import type { StreamHealth, StreamStatus } from './stream-health.ts';
import type { VerificationStates } from './verification-states.ts';

/** What became of a SET: a label of metrics and log lines. */
export type EventOutcome =
  | 'applied'
  | 'no_effect'
  | 'discarded'
  | 'duplicate'
  | 'unknown_event'
  | 'stream'
  | 'unavailable'
  | SetProblem['err'];

/** What is told of each SET. */
export interface EventTold {
  readonly stream: string;
  /** Short name of the type; `unknown` where it is not known here, `none` where nobody could look. */
  readonly event: string;
  readonly outcome: EventOutcome;
  /** In an operator's words, with nothing of the SET in it but names of types and members. */
  readonly detail?: string;
  /** Unix ms from what happened to its effect here; of effects only. */
  readonly delayMs?: number;
}

/** The answer for the transmitter: it is acknowledged, or refused for good. */
export type EventAnswer = { readonly accepted: true; readonly id: string } | SetProblem;

/** Settings of {@link createReceiver}. */
export interface ReceiverOptions extends EffectRules {
  readonly verify: SetVerifier;
  readonly effects: SecurityEffects;
  readonly received: ReceivedEvents;
  readonly states: VerificationStates;
  readonly health: StreamHealth;
  readonly clock: Clock;
  /** Told of each SET. Must not throw. */
  readonly onEvent: (told: EventTold) => void;
}

/**
 * Takes one SET. Resolves when its effects are recorded and durable, or it is refused. Rejects with `PdpError` (`state_unavailable`, `audit_unavailable`)
 * where it is not known whether: then the transmitter is to send it again.
 */
export type EventReceiver = (text: string) => Promise<EventAnswer>;

/** What has become of a SET: what is told, and what is answered. */
interface Result {
  readonly outcome: EventOutcome;
  readonly detail?: string;
  readonly problem?: SetProblem;
  readonly delayMs?: number;
}

/** Makes the receiver of one stream, whatever brings the SETs. */
export function createReceiver(options: ReceiverOptions): EventReceiver {
  const { stream, verify, received, health, clock, onEvent } = options;
  return async (text) => {
    const reading = await verify(text);
    if ('unavailable' in reading) {
      onEvent({ stream, event: 'none', outcome: 'unavailable', detail: reading.unavailable });
      throw new PdpError('state_unavailable', reading.unavailable);
    }
    if ('problem' in reading) {
      const { err, description } = reading.problem;
      onEvent({ stream, event: 'none', outcome: err, detail: description });
      return reading.problem;
    }
    const { set } = reading;
    const event = nameOf(set);
    health.event(clock.now());
    if (received.has(set)) {
      onEvent({ stream, event, outcome: 'duplicate' });
      return { accepted: true, id: set.id };
    }
    const { problem, ...told } = await taken(set, options).catch((error: unknown) => {
      onEvent({ stream, event, outcome: 'unavailable', detail: messageOf(error) });
      throw error;
    });
    onEvent({ stream, event, ...told });
    if (problem) return problem;
    // What was not durable before this is not remembered as received.
    await received.add(set);
    return { accepted: true, id: set.id };
  };
}

function nameOf({ type }: SecurityEventToken): string {
  if (type === `${SSF}verification`) return 'verification';
  if (type === `${SSF}stream-updated`) return 'stream-updated';
  return eventType(type)?.name ?? 'unknown';
}

async function taken(set: SecurityEventToken, options: ReceiverOptions): Promise<Result> {
  if (set.type === `${SSF}verification`) return await takeVerification(set, options);
  if (set.type === `${SSF}stream-updated`) return takeUpdate(set, options);
  const now = options.clock.now();
  const reading = effectsOf(set, options, now);
  if (reading.outcome !== 'effects') return resultOf(reading);
  const origin = { stream: options.stream, event: nameOf(set), id: set.id };
  await options.effects.apply(reading.effects, origin);
  const at = Math.min(...reading.effects.map((effect) => effect.at));
  const { ignored } = reading;
  return {
    outcome: 'applied',
    delayMs: options.clock.now() - at,
    ...(ignored.length > 0 && {
      detail: 'members of the subject were not understood: it has more effect than was said',
    }),
  };
}

function resultOf(reading: Exclude<EffectsReading, { readonly outcome: 'effects' }>): Result {
  switch (reading.outcome) {
    case 'refused':
      return refused(reading.problem);
    case 'unknown_event':
      return { outcome: 'unknown_event' };
    case 'no_effect':
    case 'discarded':
      return reading;
  }
}

function refused(problem: SetProblem): Result {
  return { outcome: problem.err, detail: problem.description, problem };
}

/** SSF 1.0 §8.1.4.1. Without a state, the transmitter sends it of its own accord. */
async function takeVerification(
  { event, subject }: SecurityEventToken,
  { states, health, clock }: ReceiverOptions,
): Promise<Result> {
  const stray = streamProblem(subject, health);
  if (stray) return refused(stray);
  const { state } = event;
  if (state === undefined || state === null) return { outcome: 'stream' };
  const expected = typeof state === 'string' && (await states.confirm(state));
  if (!expected) return refused(setProblem('invalid_state', 'no verification is expected with this state'));
  health.verified(clock.now());
  health.step('verification');
  return { outcome: 'stream' };
}

const STATUSES: readonly StreamStatus[] = ['enabled', 'paused', 'disabled'];

/** SSF 1.0 §8.1.5. */
function takeUpdate({ event, subject }: SecurityEventToken, { health }: ReceiverOptions): Result {
  const stray = streamProblem(subject, health);
  if (stray) return refused(stray);
  const status = STATUSES.find((known) => known === event['status']);
  if (!status)
    return refused(setProblem('invalid_request', 'status is not one of enabled, paused, disabled'));
  const { reason } = event;
  health.told(status, typeof reason === 'string' ? reason : undefined);
  return { outcome: 'stream', detail: `the stream is ${status}` };
}

/** Events about a stream are about the one they come on. */
function streamProblem(
  { format, id }: Readonly<Record<string, unknown>>,
  { streamId }: StreamHealth,
): SetProblem | undefined {
  if (format !== 'opaque' || typeof id !== 'string')
    return setProblem('invalid_request', 'sub_id is not the opaque id of a stream');
  return streamId === undefined || streamId === id
    ? undefined
    : setProblem('invalid_request', 'sub_id is the id of another stream');
}
