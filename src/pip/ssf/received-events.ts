import { hash } from 'node:crypto';
import type { Clock } from '../../pdp/ports.ts';
import type { SharedState } from '../../pdp/shared-state.ts';
import type { SecurityEventToken } from './security-event-token.ts';

/** SETs that were received before, by any replica. */
export interface ReceivedEvents {
  /** Whether the SET was received before, as far as is remembered. */
  has(set: SecurityEventToken): boolean;
  /** Remembers it for the other replicas and for itself. Never rejects: what was received has had its effect. */
  add(set: SecurityEventToken): Promise<void>;
}

/** Settings of {@link createReceivedEvents}. */
export interface ReceivedEventsOptions {
  /** Streams may come of one issuer and take different events: what one of them has passed over is news on another. */
  readonly stream: string;
  readonly state: Pick<SharedState, 'get' | 'put'>;
  readonly clock: Clock;
  /** How long a SET is remembered, in ms; default an hour. */
  readonly rememberMs?: number;
  /** SETs that this process has remembered at once; default 2000. Beyond them it remembers none: the state is for revocations first. */
  readonly maxEntries?: number;
}

/**
 * Makes the memory of the SETs of one stream by issuer and id. It saves work and counts duplicates as such: applying a SET again changes nothing, so
 * that it may forget. Another event under an id that was used before is not the same SET, whatever RFC 8417 §2.2 says that ids are.
 */
export function createReceivedEvents(options: ReceivedEventsOptions): ReceivedEvents {
  const { stream, state, clock, rememberMs = 3_600_000, maxEntries = 2000 } = options;
  /** Ends of the memories of this process, in order. */
  let ends: number[] = [];
  return {
    has: (set) => state.get(keyOf(stream, set)) !== undefined,
    async add(set) {
      const now = clock.now();
      if (ends.length >= maxEntries) ends = ends.filter((end) => end > now);
      if (ends.length >= maxEntries) return;
      const expiresAt = now + rememberMs;
      ends.push(expiresAt);
      const entry = { key: keyOf(stream, set), rank: 0, at: now, expiresAt, value: true };
      await state.put([entry]).catch(() => undefined);
    },
  };
}

/** Of bounded length, and no two SETs share one. Not by `iat`: a SET that is made anew to be sent again is the same. */
function keyOf(stream: string, { issuer, id, type, event, subject }: SecurityEventToken): string {
  return `seen|${hash('sha256', JSON.stringify([stream, issuer, id, type, event, subject]), 'base64url')}`;
}
