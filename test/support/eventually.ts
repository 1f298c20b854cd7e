import { setTimeout as delay } from 'node:timers/promises';

const STEP_MS = 10;

/**
 * Awaits a condition of another process that can only be asked, not listened to: returns the first answer of `probe` that is
 * not `undefined`. Throws an `Error` naming `what` after `withinMs`.
 */
export async function eventually<T>(
  what: string,
  probe: () => T | undefined | Promise<T | undefined>,
  withinMs = 60_000,
): Promise<T> {
  const end = performance.now() + withinMs;
  for (;;) {
    const answer = await probe();
    if (answer !== undefined) return answer;
    if (performance.now() > end) throw new Error(`not within ${withinMs} ms: ${what}`);
    await delay(STEP_MS);
  }
}
