import type { Log } from '../../pdp/log.ts';
import type { Clock } from '../../pdp/ports.ts';
import { createOccasionally } from '../occasionally.ts';
import { createAskedIds } from './asked-ids.ts';

/** Decides which of the ids that tokens name is fetched next, and when. */
export interface KeyTurns extends Disposable {
  ask(id: string): void;
}

/** Settings of {@link createKeyTurns}. */
export interface KeyTurnsOptions {
  /** Name of the issuer, for logs. */
  readonly name: string;
  readonly clock: Clock;
  readonly log: Log;
  /** Fetches a key; `false` where there is none with this id, which is not asked for again for some minutes. Never rejects. */
  readonly fetch: (id: string) => Promise<boolean>;
}

/** From the first asking on, so that what is asked for most can be told. */
const GATHER_MS = 1_000;
/** Twelve a minute, whoever asks. */
const TURN_MS = 5_000;
const MISSING_MS = 600_000;
const SAY_MS = 60_000;

/** Makes the turns: one fetch every five seconds at most, of what was asked for, the first of them a second after it was. */
export function createKeyTurns({ name, clock, log, fetch }: KeyTurnsOptions): KeyTurns {
  const asked = createAskedIds();
  // A turn adds one at most: 120 are the most of them.
  const missing = new Map<string, number>();
  const occasionally = createOccasionally(clock, SAY_MS);
  let timer: NodeJS.Timeout | undefined;
  let disposed = false;
  let current: string | undefined;
  const isMissing = (id: string): boolean => {
    const now = clock.monotonic();
    for (const [known, until] of missing) if (until <= now) missing.delete(known);
    return missing.has(id);
  };
  const turn = async (): Promise<void> => {
    const id = asked.take();
    timer = id === undefined ? undefined : setTimeout(() => void turn(), TURN_MS).unref();
    if (id === undefined) return;
    if (asked.size > 0)
      occasionally(() =>
        log.warn(
          { issuer: name, waiting: asked.size },
          'tokens name more unknown keys than are fetched, twelve a minute: those asked for most go first',
        ),
      );
    current = id;
    if (!(await fetch(id))) missing.set(id, clock.monotonic() + MISSING_MS);
    if (current === id) current = undefined;
  };
  return {
    ask(id) {
      if (disposed || id === current || isMissing(id)) return;
      asked.add(id);
      timer ??= setTimeout(() => void turn(), GATHER_MS).unref();
    },
    [Symbol.dispose]() {
      disposed = true;
      clearTimeout(timer);
    },
  };
}
