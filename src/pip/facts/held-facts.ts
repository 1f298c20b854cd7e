import { LRUCache } from 'lru-cache';
import type { AttributeAnswer } from '../../pdp/attribute.ts';
import type { Clock } from '../../pdp/ports.ts';
import type { FetchedFacts } from './fact-source.ts';

/** How long answers are kept, and how many. */
export interface HeldFactsSettings {
  /** Ms. */
  readonly freshMs: number;
  /** Ms after its freshness for which an answer may be used as what is known last; 0: never. */
  readonly maxStaleMs: number;
  /** Ms for which a subject counts as absent, at most `freshMs`. */
  readonly absentMs: number;
  readonly cacheEntries: number;
  readonly cacheMaxBytes: number;
}

/** What held facts are dated by. */
export interface HeldFactsParts {
  readonly clock: Clock;
  /** From 0 to 1. */
  readonly random: () => number;
  /** Whether we hear of changes in time; while not, nothing is fresh. */
  readonly isCurrent: () => boolean;
  /** Told of a subject whose answer is used in the last fifth of its freshness. */
  readonly onDue: (subjectId: string) => void;
}

/** An answer of the source, as it came. */
export interface Arrival {
  readonly facts: FetchedFacts;
  /** When it was asked: Unix ms, and monotonic ms. */
  readonly askedAt: number;
  readonly askedAtMonotonic: number;
  /** Characters of the facts as JSON. */
  readonly length: number;
}

/** An answer that is held. Times are monotonic ms: a wall clock that is set back must not make facts fresh again. */
interface Held {
  readonly facts: FetchedFacts;
  readonly answer: AttributeAnswer;
  readonly refreshAt: number;
  freshUntil: number;
  isOutdated: boolean;
  /** For how long after that it may be used. */
  readonly staleMs: number;
  readonly generation: number;
}

const JITTER = 0.1;
const REFRESH_AHEAD = 0.2;
const ENTRY_OVERHEAD_BYTES = 1000;

/** The answers of one source by subject id, bounded in number and bytes; the least recently used go first. */
export class HeldFacts {
  readonly #settings: HeldFactsSettings;
  readonly #parts: HeldFactsParts;
  readonly #entries: LRUCache<string, Held>;
  /** What is held of an earlier generation is fresh no more, since `#outdatedAt`. */
  #generation = 0;
  #outdatedAt = 0;

  constructor(settings: HeldFactsSettings, parts: HeldFactsParts) {
    this.#settings = settings;
    this.#parts = parts;
    this.#entries = new LRUCache({ max: settings.cacheEntries, maxSize: settings.cacheMaxBytes });
  }

  /** The answer, where it is fresh. */
  fresh(subjectId: string): AttributeAnswer | undefined {
    const held = this.#entries.get(subjectId);
    if (held === undefined || held.generation !== this.#generation) return undefined;
    const { clock, isCurrent, onDue } = this.#parts;
    const now = clock.monotonic();
    if (now >= held.freshUntil || clock.now() >= held.answer.freshUntil || !isCurrent()) return undefined;
    if (now >= held.refreshAt) onDue(subjectId);
    return held.answer;
  }

  /** The answer as what is known last, where it may still be used as that. */
  stale(subjectId: string): AttributeAnswer | undefined {
    const held = this.#entries.get(subjectId);
    if (held === undefined || held.staleMs === 0) return undefined;
    const { answer, staleMs } = held;
    const now = this.#parts.clock.now();
    const isTooOld =
      this.#parts.clock.monotonic() >= this.#endOf(held) + staleMs || now >= answer.freshUntil + staleMs;
    return isTooOld ? undefined : { ...answer, freshUntil: Math.min(answer.freshUntil, now), stale: true };
  }

  /** Whether something has changed about the subject since it was asked for. */
  isOutdated(subjectId: string): boolean {
    return this.#entries.peek(subjectId)?.isOutdated === true;
  }

  /** What the source said last, however long ago. */
  previous(subjectId: string): FetchedFacts | undefined {
    return this.#entries.peek(subjectId)?.facts;
  }

  /** Holds what the source said. */
  keep(subjectId: string, arrival: Arrival): AttributeAnswer {
    const { facts, askedAtMonotonic, length } = arrival;
    const freshMs = this.#freshMs(facts);
    const answer = answerOf(arrival, freshMs);
    const freshUntil = askedAtMonotonic + freshMs;
    const held: Held = {
      facts,
      answer,
      refreshAt: freshUntil - freshMs * REFRESH_AHEAD,
      freshUntil,
      isOutdated: false,
      // That somebody is not known is no knowledge to go on with.
      staleMs: facts.status === 'absent' ? 0 : this.#settings.maxStaleMs,
      generation: this.#generation,
    };
    this.#entries.set(subjectId, held, { size: ENTRY_OVERHEAD_BYTES + 2 * (length + subjectId.length) });
    return answer;
  }

  /** What is held of the subject is fresh no more. */
  invalidate(subjectId: string): void {
    const held = this.#entries.peek(subjectId);
    if (!held) return;
    held.freshUntil = Math.min(held.freshUntil, this.#parts.clock.monotonic());
    held.isOutdated = true;
  }

  /** Nothing that is held is fresh any more. */
  invalidateAll(): void {
    this.#generation += 1;
    this.#outdatedAt = this.#parts.clock.monotonic();
  }

  /** When its freshness ended, or will. */
  #endOf({ freshUntil, generation }: Held): number {
    return generation === this.#generation ? freshUntil : Math.min(freshUntil, this.#outdatedAt);
  }

  #freshMs({ status, freshMs: stated }: FetchedFacts): number {
    const { freshMs, absentMs } = this.#settings;
    const most = status === 'absent' ? Math.min(absentMs, freshMs) : freshMs;
    const agreed = stated === undefined ? most : Math.min(most, stated > 0 ? stated : 0);
    return Math.floor(agreed * (1 - JITTER * this.#parts.random()));
  }
}

/**
 * What the source said, good for `freshMs` from when it was asked. A time of observation that has not come yet is none: what is dated so would
 * outdo whatever is heard until then.
 */
export function answerOf({ facts, askedAt }: Arrival, freshMs: number): AttributeAnswer {
  const { status, attributes, groups, observedAt } = facts;
  const freshUntil = askedAt + freshMs;
  return observedAt === undefined || observedAt > askedAt
    ? { status, attributes, groups, observedAt: askedAt, assumed: true, freshUntil }
    : { status, attributes, groups, observedAt, freshUntil };
}
