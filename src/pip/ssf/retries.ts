import { setTimeout as delay } from 'node:timers/promises';
import { messageOf } from '../../pdp/errors.ts';
import { pauseMs } from '../../pdp/retry-pause.ts';
import { TransmitterError } from './transmitter-http.ts';

const FIRST_RETRY_MS = 1000;
const MOST_RETRY_MS = 60_000;

/**
 * Does `work` again until it is done, with pauses that grow, and not before the transmitter wants to be asked. `onProblem` is told of each failure.
 * `undefined` where `signal` was aborted. Never rejects.
 */
export async function untilDone<T>(
  work: () => Promise<T>,
  onProblem: (problem: string) => void,
  signal: AbortSignal,
): Promise<T | undefined> {
  for (let failures = 1; !signal.aborted; failures += 1) {
    try {
      return await work();
    } catch (error) {
      if (signal.aborted) return undefined;
      onProblem(messageOf(error));
      const wanted = error instanceof TransmitterError ? (error.retryAfterMs ?? 0) : 0;
      await pause(Math.max(pauseMs(FIRST_RETRY_MS, MOST_RETRY_MS, failures), wanted), signal);
    }
  }
  return undefined;
}

/** Waits, without keeping the process alive, at most until `signal` is aborted. Never rejects. */
export async function pause(ms: number, signal: AbortSignal): Promise<void> {
  if (ms > 0) await delay(ms, undefined, { signal, ref: false }).catch(() => undefined);
}
