import type { AttributeAnswer, OnFailure } from '../../pdp/attribute.ts';
import type { Log } from '../../pdp/log.ts';
import type { Asker, AttributeSource, Clock } from '../../pdp/ports.ts';
import { measureAnswer } from './answer-limits.ts';
import type { FactSource, FetchedFacts } from './fact-source.ts';
import { Flights, isOutOfTime } from './flights.ts';
import { type Arrival, HeldFacts, type HeldFactsSettings, answerOf } from './held-facts.ts';
import {
  type BreakerState,
  type GuardSettings,
  NotAskedError,
  SourceGuard,
  WrongAnswerError,
} from './source-guard.ts';

/** Settings of {@link remote}. */
export interface RemoteSettings extends HeldFactsSettings, GuardSettings {
  readonly onFailure: OnFailure;
  readonly onFailureOf?: ReadonlyMap<string, OnFailure>;
}

/** What {@link remote} works with. */
export interface RemoteParts {
  readonly clock: Clock;
  readonly log: Log;
  /**
   * Whether we hear of changes in time; while not, nothing that is held is fresh. May become true again only after the changes that were missed
   * have been told (`invalidate`). Default: always.
   */
  readonly isCurrent?: () => boolean;
  /** Told of each question to the source, and how long it took in ms. */
  readonly onAsked?: (ms: number) => void;
  /** From 0 to 1. */
  readonly random?: () => number;
}

/** What became of a lookup: `rejected` where the source was not even asked. Callers that went away before it was known are not counted. */
export type LookupOutcome = 'fresh' | 'stale' | 'fetched' | 'absent' | 'failed' | 'rejected';

/** How it stands with a source. */
export interface RemoteHealth {
  readonly name: string;
  readonly breaker: BreakerState;
  /** Lookups since the start. */
  readonly lookups: { readonly [outcome in LookupOutcome]: number };
}

/** A source outside of this process, with what keeps it from doing harm. */
export interface RemoteSource extends AttributeSource, AsyncDisposable {
  /** Something has changed about the subject: what is held, or on its way, may not be used as fresh any more. */
  invalidate(subjectId: string): void;
  /** Anything may have changed. */
  invalidateAll(): void;
  health(): RemoteHealth;
}

/**
 * Puts around a source what a dependency on a network needs. Answers are held while fresh (a tenth less at random, so that what came together
 * does not leave together), and asked for again in the last fifth of that, so that nobody waits for what is in use. After that they can
 * be had as what is known last, for a bounded time. There is one question at a time about a subject; a caller that gives up leaves the others;
 * a question nobody waits for is aborted, unless time ran out for the last: then its answer is for whoever comes next. Failures are not
 * kept, but a source that keeps failing is left alone for a while. Rejects with `PdpError` `attribute_unavailable`, or the asker's reason.
 */
export function remote(source: FactSource, settings: RemoteSettings, parts: RemoteParts): RemoteSource {
  const { name, subject, gives } = source;
  const { onFailure, onFailureOf } = settings;
  const lookups = new RemoteLookups(source, settings, parts);
  return {
    name,
    subject,
    gives,
    onFailure,
    ...(onFailureOf && { onFailureOf }),
    lookup: (subjectId, asker, stale) => lookups.lookup(subjectId, asker, stale),
    lastKnown: (subjectId) => lookups.lastKnown(subjectId),
    invalidate: (subjectId) => lookups.invalidate(subjectId),
    invalidateAll: () => lookups.invalidateAll(),
    health: () => lookups.health(),
    [Symbol.asyncDispose]: () => lookups.dispose(),
  };
}

class RemoteLookups {
  readonly #source: FactSource;
  readonly #parts: RemoteParts;
  readonly #held: HeldFacts;
  readonly #guard: SourceGuard;
  readonly #flights: Flights<AttributeAnswer>;
  readonly #counts = { fresh: 0, stale: 0, fetched: 0, absent: 0, failed: 0, rejected: 0 };

  constructor(source: FactSource, settings: RemoteSettings, parts: RemoteParts) {
    const { clock, log, random = Math.random, isCurrent = () => true } = parts;
    this.#source = source;
    this.#parts = parts;
    this.#held = new HeldFacts(settings, { clock, random, isCurrent, onDue: (id) => this.#refresh(id) });
    this.#guard = new SourceGuard(source.name, settings, { clock, log, random });
    this.#flights = new Flights((id, signal, isCurrent) => this.#ask(id, signal, isCurrent));
  }

  lookup(subjectId: string, asker: Asker, stale = false): AttributeAnswer | Promise<AttributeAnswer> {
    const fresh = this.#held.fresh(subjectId);
    if (fresh !== undefined) {
      this.#counts.fresh += 1;
      return fresh;
    }
    // Of whom something has just changed, what was known before is for when the source fails and not for the time that asking takes.
    const isEnough = stale && !this.#held.isOutdated(subjectId);
    const known = isEnough ? this.#held.stale(subjectId) : undefined;
    if (known === undefined) return this.#wait(subjectId, asker.signal);
    this.#counts.stale += 1;
    this.#refresh(subjectId);
    return known;
  }

  lastKnown(subjectId: string): AttributeAnswer | undefined {
    return this.#held.fresh(subjectId) ?? this.#held.stale(subjectId);
  }

  invalidate(subjectId: string): void {
    this.#held.invalidate(subjectId);
    this.#flights.outdate(subjectId);
  }

  invalidateAll(): void {
    this.#held.invalidateAll();
    this.#flights.outdateAll();
  }

  health(): RemoteHealth {
    return { name: this.#source.name, breaker: this.#guard.state, lookups: { ...this.#counts } };
  }

  async dispose(): Promise<void> {
    this.#flights.abort();
    await this.#source[Symbol.asyncDispose]();
  }

  async #wait(subjectId: string, signal: AbortSignal): Promise<AttributeAnswer> {
    try {
      const answer = await this.#flights.join(subjectId, signal);
      this.#counts[answer.status === 'found' ? 'fetched' : 'absent'] += 1;
      return answer;
    } catch (error) {
      if (!signal.aborted || isOutOfTime(signal))
        this.#counts[error instanceof NotAskedError ? 'rejected' : 'failed'] += 1;
      throw error;
    }
  }

  /** Asks again without anybody waiting, where there is room to. */
  #refresh(subjectId: string): void {
    if (!this.#flights.has(subjectId) && this.#guard.hasRoom()) this.#flights.launch(subjectId);
  }

  async #ask(subjectId: string, signal: AbortSignal, isCurrent: () => boolean): Promise<AttributeAnswer> {
    const unasked = this.#source.unasked?.(subjectId);
    const arrival = await (unasked ? this.#arrived(unasked) : this.#askSource(subjectId, signal));
    // What was asked before something changed may say how it was before: it serves those who asked then, and nobody after them.
    return isCurrent() ? this.#held.keep(subjectId, arrival) : answerOf(arrival, 0);
  }

  #arrived(facts: FetchedFacts): Arrival {
    const { clock } = this.#parts;
    return { facts, askedAt: clock.now(), askedAtMonotonic: clock.monotonic(), length: 0 };
  }

  async #askSource(subjectId: string, signal: AbortSignal): Promise<Arrival> {
    const previous = this.#held.previous(subjectId);
    return await this.#guard.run((cut) => this.#fetch(subjectId, cut, previous), signal);
  }

  async #fetch(subjectId: string, signal: AbortSignal, previous?: FetchedFacts): Promise<Arrival> {
    const { clock, onAsked } = this.#parts;
    const askedAt = clock.now();
    const askedAtMonotonic = clock.monotonic();
    try {
      const facts = await this.#source.fetch(subjectId, signal, previous);
      const size = measureAnswer(facts);
      if ('problem' in size) throw new WrongAnswerError(size.problem);
      return { facts, askedAt, askedAtMonotonic, length: size.length };
    } finally {
      onAsked?.(clock.monotonic() - askedAtMonotonic);
    }
  }
}
