import { messageOf } from '../../pdp/errors.ts';
import { pause } from './retries.ts';
import type { StreamClient } from './stream-client.ts';
import type { StreamHealth, StreamStatus } from './stream-health.ts';
import { TransmitterError } from './transmitter-http.ts';
import type { VerificationStates } from './verification-states.ts';

/** Settings of {@link verifyStream}. */
export interface VerificationOptions {
  readonly client: StreamClient;
  readonly streamId: string;
  readonly states: VerificationStates;
  readonly health: StreamHealth;
  /** Ms between two verifications; also between two looks at the status. */
  readonly intervalMs: number;
  /** Ms within which the event must come. */
  readonly withinMs: number;
  /** Told of a problem in an operator's words; without one, all is well. */
  readonly onProblem: (problem: string | undefined) => void;
}

const LOOK_MS = 50;
const STATUSES: readonly StreamStatus[] = ['enabled', 'paused', 'disabled'];

/**
 * Asks for verification events until `signal` is aborted, the first at once, and for the status of the stream (SSF 1.0 §8.1.2, §8.1.4). An
 * event that does not come in time is a problem until one comes. Never rejects.
 */
export async function verifyStream(options: VerificationOptions, signal: AbortSignal): Promise<void> {
  const { intervalMs, onProblem } = options;
  while (!signal.aborted) {
    const problem = await verifyOnce(options, signal).catch((error: unknown) => error);
    if (signal.aborted) return;
    const isLimited = problem instanceof TransmitterError && problem.status === 429;
    // Asked too often says nothing of the stream; other replicas ask too.
    if (!isLimited) onProblem(problem === undefined ? undefined : wordsOf(problem));
    const wanted = problem instanceof TransmitterError ? (problem.retryAfterMs ?? 0) : 0;
    await pause(Math.max(intervalMs, wanted), signal);
  }
}

function wordsOf(problem: unknown): string {
  return typeof problem === 'string' ? problem : `the transmitter ${messageOf(problem)}`;
}

async function verifyOnce(options: VerificationOptions, signal: AbortSignal): Promise<string | undefined> {
  const { client, streamId, states, health, withinMs } = options;
  const told = await client.status(streamId);
  const status = STATUSES.find((known) => known === told?.status);
  if (status) health.told(status, typeof told?.reason === 'string' ? told.reason : undefined);
  if (!client.canVerify || status === 'paused' || status === 'disabled') return undefined;
  const before = states.confirmedAt();
  await client.verify(streamId, await states.expect());
  const end = performance.now() + withinMs;
  while (states.confirmedAt() === before && performance.now() < end && !signal.aborted)
    await pause(LOOK_MS, signal);
  const confirmedAt = states.confirmedAt();
  if (confirmedAt === undefined || confirmedAt === before)
    return `no verification event came within ${withinMs / 1000} s of being asked for`;
  health.verified(confirmedAt);
  return undefined;
}
