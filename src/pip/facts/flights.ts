import { abortable } from '../../pdp/abortable.ts';

/**
 * Asks about a subject. `isCurrent`: whether the answer is still that to what is asked of the subject now; not so where the flight was abandoned,
 * or something has changed since it began.
 */
export type Ask<T> = (subjectId: string, signal: AbortSignal, isCurrent: () => boolean) => Promise<T>;

interface Flight<T> {
  readonly answer: Promise<T>;
  readonly abort: AbortController;
  waiting: number;
  isOver: boolean;
  /** Goes on although nobody waits. */
  alone: boolean;
}

/**
 * One question at a time about a subject, for all who want its answer. A caller that gives up leaves the others; when the last has gone the
 * question is aborted, unless it ran out of time: then the answer is for whoever comes next.
 */
export class Flights<T> {
  readonly #ask: Ask<T>;
  readonly #current = new Map<string, Flight<T>>();

  constructor(ask: Ask<T>) {
    this.#ask = ask;
  }

  has(subjectId: string): boolean {
    return this.#current.has(subjectId);
  }

  /** Waits for the answer until `signal` aborts, and then rejects with its reason. */
  async join(subjectId: string, signal: AbortSignal): Promise<T> {
    signal.throwIfAborted();
    const flight = this.#current.get(subjectId) ?? this.#takeOff(subjectId);
    flight.waiting += 1;
    try {
      return await abortable(flight.answer, signal);
    } finally {
      flight.waiting -= 1;
      flight.alone ||= isOutOfTime(signal);
      if (flight.waiting === 0 && !flight.alone && !flight.isOver) this.#abandon(subjectId, flight);
    }
  }

  /** Asks without anybody waiting; what fails is left to who asks. */
  launch(subjectId: string): void {
    const flight = this.#takeOff(subjectId);
    flight.alone = true;
    flight.answer.catch(() => undefined);
  }

  /** Whoever comes next asks anew; those who wait get the answer to what they asked. */
  outdate(subjectId: string): void {
    this.#current.delete(subjectId);
  }

  /** The same for all subjects. */
  outdateAll(): void {
    this.#current.clear();
  }

  /** Aborts what is asked. */
  abort(): void {
    const flights = [...this.#current.values()];
    this.#current.clear();
    for (const { abort } of flights) abort.abort();
  }

  #takeOff(subjectId: string): Flight<T> {
    const abort = new AbortController();
    const isCurrent = (): boolean => this.#current.get(subjectId) === flight;
    const answer = this.#ask(subjectId, abort.signal, isCurrent).finally(() => {
      flight.isOver = true;
      if (isCurrent()) this.#current.delete(subjectId);
    });
    const flight: Flight<T> = { answer, abort, waiting: 0, isOver: false, alone: false };
    this.#current.set(subjectId, flight);
    return flight;
  }

  /** Whoever comes next must not join a flight that is being aborted. */
  #abandon(subjectId: string, flight: Flight<T>): void {
    if (this.#current.get(subjectId) === flight) this.#current.delete(subjectId);
    flight.abort.abort();
  }
}

/** Whether a caller gave up because its time was over, rather than because it went away. */
export function isOutOfTime({ aborted, reason }: AbortSignal): boolean {
  return aborted && reason instanceof Error && reason.name === 'TimeoutError';
}
