import { LRUCache } from 'lru-cache';
import type { AttributeAnswer } from '../../pdp/attribute.ts';
import type { Asker, AttributeSource, Clock } from '../../pdp/ports.ts';
import { abortable } from '../../pdp/abortable.ts';

/** Settings of {@link cached}. */
export interface CachedOptions {
  /** Subjects whose answers are kept; the least recently used go first. */
  readonly maxEntries: number;
  readonly clock: Clock;
}

interface Kept {
  readonly answer: AttributeAnswer;
  /** Monotonic ms: a wall clock that is set back must not make facts fresh again. */
  readonly until: number;
}

interface Flight {
  readonly answer: Promise<AttributeAnswer>;
  readonly abort: AbortController;
  waiting: number;
}

/**
 * Keeps the answers of a source until they say they are stale, and asks once for callers that want the same subject at the same
 * time. A caller that gives up leaves the others undisturbed; when all have given up the question is aborted. Failures are
 * not kept: the next caller asks again.
 */
export function cached(source: AttributeSource, options: CachedOptions): AttributeSource {
  const answers = new LRUCache<string, Kept>({ max: options.maxEntries });
  const flights = new Map<string, Flight>();
  const takeOff = (subjectId: string): Flight => {
    const abort = new AbortController();
    const answer = ask(source, subjectId, abort)
      .then((found) => {
        const freshMs = found.freshUntil - options.clock.now();
        if (freshMs > 0)
          answers.set(subjectId, { answer: found, until: options.clock.monotonic() + freshMs });
        return found;
      })
      .finally(() => {
        if (flights.get(subjectId) === flight) flights.delete(subjectId);
      });
    const flight: Flight = { answer, abort, waiting: 0 };
    flights.set(subjectId, flight);
    return flight;
  };
  const join = async (subjectId: string, signal: AbortSignal): Promise<AttributeAnswer> => {
    signal.throwIfAborted();
    const flight = flights.get(subjectId) ?? takeOff(subjectId);
    flight.waiting += 1;
    try {
      return await abortable(flight.answer, signal);
    } finally {
      flight.waiting -= 1;
      if (flight.waiting === 0 && flights.get(subjectId) === flight) {
        // Nobody is left; whoever comes next must not join a flight that is being aborted.
        flights.delete(subjectId);
        flight.abort.abort();
      }
    }
  };
  return {
    name: source.name,
    subject: source.subject,
    gives: source.gives,
    onFailure: source.onFailure,
    lookup(subjectId, asker) {
      const known = answers.get(subjectId);
      const fresh = known !== undefined && known.until > options.clock.monotonic();
      return fresh && known.answer.freshUntil > options.clock.now()
        ? known.answer
        : join(subjectId, asker.signal);
    },
  };
}

async function ask(source: AttributeSource, subjectId: string, asker: Asker): Promise<AttributeAnswer> {
  return await source.lookup(subjectId, asker);
}
