import {
  type BulkheadPolicy,
  BulkheadRejectedError,
  type CircuitBreakerPolicy,
  CircuitState,
  ConsecutiveBreaker,
  type IBackoff,
  TaskCancelledError,
  type TimeoutPolicy,
  TimeoutStrategy,
  bulkhead,
  circuitBreaker,
  handleWhen,
  timeout,
} from 'cockatiel';
import { abortable } from '../../pdp/abortable.ts';
import { PdpError } from '../../pdp/errors.ts';
import type { Log } from '../../pdp/log.ts';
import type { Clock } from '../../pdp/ports.ts';
import { createOccasionally } from '../occasionally.ts';

/** How much is asked of a source, and how much of it is borne. */
export interface GuardSettings {
  /** Ms for which one question may be under way. */
  readonly timeoutMs: number;
  /** Questions under way at once. */
  readonly concurrency: number;
  /** Questions that wait for those; more are not asked. */
  readonly queue: number;
  readonly breaker: {
    /** Failures in a row that open it. */
    readonly failures: number;
    /** Ms for which it stays open; up to a fifth longer, so that replicas do not knock at once. */
    readonly pauseMs: number;
  };
}

/** What a guard works with. */
export interface GuardParts {
  readonly clock: Clock;
  readonly log: Log;
  /** From 0 to 1. */
  readonly random: () => number;
}

/** `closed`: questions are asked; `open`: none is; `half_open`: one is, to see whether the source is back. */
export type BreakerState = 'closed' | 'half_open' | 'open';

/** The question was not asked: the source is given a rest, has no room, or cannot be asked about such an id. */
export class NotAskedError extends PdpError {
  constructor(message: string) {
    super('attribute_unavailable', message);
  }
}

/** The source is there, and what it said cannot be used: it may be one subject's record that is spoilt, and no reason to leave the others without. */
export class WrongAnswerError extends PdpError {
  constructor(problem: string) {
    super('attribute_unavailable', problem);
  }
}

/** Nobody waits for the answer any more. */
class AbandonedError extends Error {
  override readonly name = 'AbandonedError';

  constructor() {
    super('nobody waits for the answer any more');
  }
}

const JITTER = 0.2;
const WRONG_LINE_EVERY_MS = 60_000;

/** Stands before a source: a limit on each question's time and on how many there are, and a circuit breaker. */
export class SourceGuard {
  readonly #name: string;
  readonly #settings: GuardSettings;
  readonly #parts: GuardParts;
  readonly #room: BulkheadPolicy;
  readonly #breaker: CircuitBreakerPolicy;
  readonly #limit: TimeoutPolicy;
  /** Monotonic ms from which on an open breaker lets one question through. */
  #retryAt = 0;
  #isDown = false;
  #cause = '';
  readonly #nowAndThen: ReturnType<typeof createOccasionally>;

  /** `name`: of the source, for the log. */
  constructor(name: string, settings: GuardSettings, parts: GuardParts) {
    this.#name = name;
    this.#settings = settings;
    this.#parts = parts;
    this.#nowAndThen = createOccasionally(parts.clock, WRONG_LINE_EVERY_MS);
    this.#room = bulkhead(settings.concurrency, settings.queue);
    this.#limit = timeout(settings.timeoutMs, {
      strategy: TimeoutStrategy.Cooperative,
      abortOnReturn: false,
    });
    this.#breaker = circuitBreaker(handleWhen(isUnavailability), {
      breaker: new ConsecutiveBreaker(settings.breaker.failures),
      halfOpenAfter: { next: () => this.#pause() },
    });
    this.#breaker.onBreak(() => this.#opened());
    this.#breaker.onReset(() => this.#closed());
  }

  get state(): BreakerState {
    if (this.#breaker.state === CircuitState.Closed) return 'closed';
    return this.#breaker.state === CircuitState.HalfOpen ? 'half_open' : 'open';
  }

  /** Why no question is asked now; `undefined` where one would be, or would wait for room. */
  refusal(): string | undefined {
    if (this.state === 'closed') return undefined;
    if (this.state === 'open' && this.#parts.clock.monotonic() >= this.#retryAt) return undefined;
    return `is not asked for a while because it keeps failing (the last time: ${this.#cause})`;
  }

  /** Whether a question would be asked at once. */
  hasRoom(): boolean {
    return this.#room.executionSlots > 0 && this.refusal() === undefined;
  }

  /**
   * Does `work`, which must heed its signal, when there is room. Rejects with its `PdpError`, or one of our own where it takes too long; with
   * `NotAskedError`; and with `AbandonedError` where `signal` aborts first.
   */
  async run<T>(work: (signal: AbortSignal) => Promise<T>, signal: AbortSignal): Promise<T> {
    this.#throwIfRefusing();
    try {
      return await this.#room.execute(() => {
        // It may have opened while we waited for room.
        this.#throwIfRefusing();
        return this.#breaker.execute(() => this.#ask(work, signal));
      }, signal);
    } catch (error) {
      throw this.#inOurWords(error);
    }
  }

  #throwIfRefusing(): void {
    const refusal = this.refusal();
    if (refusal !== undefined) throw new NotAskedError(refusal);
  }

  async #ask<T>(work: (signal: AbortSignal) => Promise<T>, signal: AbortSignal): Promise<T> {
    // What is asked of a source to see whether it is back is asked to the end: a caller that goes away would tell nothing of it.
    const abandoned = this.state === 'half_open' ? undefined : signal;
    try {
      return await this.#limit.execute(
        ({ signal: cut }) => heardOut(work, cut, () => this.#cutBecause(abandoned)),
        abandoned,
      );
    } catch (error) {
      if (isUnavailability(error)) this.#cause = causeOf(error);
      if (error instanceof WrongAnswerError) this.#nowAndThen(() => this.#wrong(error));
      throw error;
    }
  }

  #cutBecause(abandoned: AbortSignal | undefined): Error {
    if (abandoned?.aborted === true) return new AbandonedError();
    return new PdpError('attribute_unavailable', `did not answer within ${this.#settings.timeoutMs} ms`);
  }

  #inOurWords(error: unknown): unknown {
    if (error instanceof PdpError || error instanceof AbandonedError) return error;
    if (error instanceof TaskCancelledError) return new AbandonedError();
    const { concurrency, queue } = this.#settings;
    return error instanceof BulkheadRejectedError
      ? new NotAskedError(`is not asked: ${concurrency} questions are under way and ${queue} wait`)
      : new PdpError('attribute_unavailable', causeOf(error), { cause: error });
  }

  /** On the monotonic clock: the breaker's own is the wall clock, which may be set back while it is open. */
  #pause(): IBackoff<unknown> {
    const { clock, random } = this.#parts;
    const until = clock.monotonic() + this.#settings.breaker.pauseMs * (1 + random() * JITTER);
    this.#retryAt = until;
    return {
      get duration() {
        return clock.monotonic() >= until ? -Infinity : Infinity;
      },
      next: () => this.#pause(),
    };
  }

  #opened(): void {
    if (this.#isDown) return;
    this.#isDown = true;
    const { failures } = this.#settings.breaker;
    this.#parts.log.warn(
      { source: this.#name, failures, problem: this.#cause },
      'information point keeps failing and is left alone for a while',
    );
  }

  #wrong({ message: problem }: WrongAnswerError): void {
    this.#parts.log.warn({ source: this.#name, problem }, 'information point answers wrongly');
  }

  #closed(): void {
    this.#isDown = false;
    this.#parts.log.info({ source: this.#name }, 'information point answers again');
  }
}

/** Whether an error says that the source cannot be had, for whomever: one odd id or spoilt record must not have everybody else's refused. */
function isUnavailability(error: unknown): boolean {
  return ![AbandonedError, NotAskedError, WrongAnswerError].some((other) => error instanceof other);
}

/** Errors of libraries may quote what was asked, credentials among it: of those only the kind is told. */
function causeOf(error: unknown): string {
  if (error instanceof PdpError) return error.message;
  return `failed unexpectedly (${error instanceof Error ? error.name : typeof error})`;
}

/**
 * Does work until `cut` aborts, and then as long as it takes to read what has come already: where this process stood still, that its time is
 * up is seen before the answer that came in time. Rejects with `reason()` when it is too late.
 */
async function heardOut<T>(
  work: (signal: AbortSignal) => Promise<T>,
  cut: AbortSignal,
  reason: () => Error,
): Promise<T> {
  if (cut.aborted) throw reason();
  const late = new AbortController();
  cut.addEventListener('abort', () => setImmediate(() => late.abort(reason())), { once: true });
  try {
    return await abortable(work(late.signal), late.signal);
  } catch (error) {
    // Some sources reject in words of their own when they are cut off.
    throw late.signal.aborted ? late.signal.reason : error;
  }
}
