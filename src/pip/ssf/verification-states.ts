import { hash, randomBytes } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import type { Clock } from '../../pdp/ports.ts';
import type { SharedEntry, SharedState } from '../../pdp/shared-state.ts';

/** States that verification events are asked for with (SSF 1.0 §8.1.4). Any replica may get the event that another asked for. */
export interface VerificationStates {
  /** A new state that is expected from now on. Rejects with `PdpError` `state_unavailable`. */
  expect(): Promise<string>;
  /** The event with this state has come. `false`: nobody expects it. Rejects with `PdpError` `state_unavailable`. */
  confirm(state: string): Promise<boolean>;
  /** Unix ms at which the newest event that was expected came, here or at another replica. */
  confirmedAt(): number | undefined;
}

/** How long a state is expected: events may wait in a line. In ms. */
const EXPECTED_MS = 6 * 3_600_000;
/** How long it is known when a stream was last verified. In ms. */
const CONFIRMED_MS = 30 * 86_400_000;

/** How long a state that nobody seems to expect is waited for. In ms. */
const ARRIVAL_MS = 500;

/** Makes the states of one stream. */
export function createVerificationStates(
  stream: string,
  state: Pick<SharedState, 'get' | 'put'>,
  clock: Clock,
): VerificationStates {
  const confirmed = `verified|${stream}`;
  const keyOf = (value: string): string => `verify|${stream}|${hash('sha256', value, 'base64url')}`;
  const put = (key: string, expiresAt: number): Promise<void> => {
    const entry: SharedEntry = { key, rank: 0, at: clock.now(), expiresAt, value: true };
    return state.put([entry]);
  };
  return {
    async expect() {
      const value = randomBytes(24).toString('base64url');
      await put(keyOf(value), clock.now() + EXPECTED_MS);
      return value;
    },
    async confirm(value) {
      const end = performance.now() + ARRIVAL_MS;
      // The event may be faster than what the replica that asked for it has written.
      while (state.get(keyOf(value)) === undefined && performance.now() < end) await delay(ARRIVAL_MS / 20);
      if (state.get(keyOf(value)) === undefined) return false;
      await put(confirmed, clock.now() + CONFIRMED_MS);
      return true;
    },
    confirmedAt: () => state.get(confirmed)?.at,
  };
}
