import { setTimeout as delay } from 'node:timers/promises';
import { messageOf } from '../../pdp/errors.ts';
import { isRecord } from '../../pdp/external-json.ts';
import type { Clock } from '../../pdp/ports.ts';
import { pauseMs } from '../../pdp/retry-pause.ts';
import type { EventReceiver } from './receiver.ts';
import { type SetProblem, setProblem } from './security-event-token.ts';
import type { StreamHealth } from './stream-health.ts';
import { TransmitterError, type TransmitterHttp, objectOf } from './transmitter-http.ts';

/** Settings of {@link pollStream}. */
export interface PollOptions {
  readonly http: TransmitterHttp;
  readonly url: string;
  readonly receive: EventReceiver;
  readonly health: StreamHealth;
  readonly clock: Clock;
  /** Most SETs in one answer. */
  readonly maxEvents: number;
  /** Ms between polls; 0: the transmitter holds each poll until there is something to tell. */
  readonly intervalMs: number;
  /** Ms for one answer. */
  readonly timeoutMs: number;
  /** Told of a poll that failed, and of the first that does not any more. */
  readonly onProblem: (problem: string | undefined) => void;
}

const FIRST_RETRY_MS = 500;
const MOST_RETRY_MS = 60_000;
/** Between two long polls that told nothing: an answer at once must not become a busy loop. */
const IDLE_MS = 100;

/** Longest pause where there is said to be more, and it is what was answered before, or nothing. */
const MOST_IDLE_MS = 5000;

/** SETs of one answer that could not be stored, after which the others are not tried: each waits for its time limit. */
const MOST_FAILURES = 3;

/** What one poll came to. */
interface Turn {
  readonly hasMore: boolean;
  /** Not everything could be stored. */
  readonly isIncomplete: boolean;
}

/** What the transmitter is still to be told of the SETs that came. */
interface Answers {
  readonly ack: readonly string[];
  readonly setErrs: Readonly<Record<string, SetProblem>>;
}

const NONE: Answers = { ack: [], setErrs: {} };

/**
 * Polls a stream (RFC 8936) until `signal` is aborted: one request at a time, what was taken is acknowledged with the next one. A SET whose
 * effects are not durable is neither acknowledged nor refused, so that it comes again. Never rejects.
 */
export async function pollStream(options: PollOptions, signal: AbortSignal): Promise<void> {
  const poller = new Poller(options, signal);
  let failures = 0;
  while (!signal.aborted) {
    const turn = await poller.turn().catch((error: unknown) => ({ error }));
    if (signal.aborted) return;
    const problem = problemOf(turn);
    failures = problem === undefined ? 0 : failures + 1;
    options.onProblem(problem);
    const ms = failures > 0 ? retryMs(turn, failures) : poller.pauseMs();
    if (ms > 0) await delay(ms, undefined, { signal, ref: false }).catch(() => undefined);
  }
}

type Outcome = Turn | { readonly error: unknown };

function problemOf(turn: Outcome): string | undefined {
  if ('error' in turn) return `the transmitter ${messageOf(turn.error)}`;
  return turn.isIncomplete ? 'events could not be stored, and are asked for again' : undefined;
}

function retryMs(turn: Outcome, failures: number): number {
  const error = 'error' in turn ? turn.error : undefined;
  const wanted = error instanceof TransmitterError ? (error.retryAfterMs ?? 0) : 0;
  return Math.max(pauseMs(FIRST_RETRY_MS, MOST_RETRY_MS, failures), wanted);
}

class Poller {
  readonly #options: PollOptions;
  readonly #signal: AbortSignal;
  #answers = NONE;
  #last: Turn = { hasMore: false, isIncomplete: false };
  /** Turns in a row that told nothing new. */
  #repeats = 0;

  constructor(options: PollOptions, signal: AbortSignal) {
    this.#options = options;
    this.#signal = signal;
  }

  /** Rejects with what the request rejects with; what was to be told is told again then. */
  async turn(): Promise<Turn> {
    const { http, url, maxEvents, intervalMs, timeoutMs, health, clock } = this.#options;
    const isAnswerOnly = intervalMs > 0 && this.#owesAnswers && !this.#last.hasMore;
    const body = {
      // At an interval, what was taken is acknowledged at once, and more is asked for in its time.
      maxEvents: isAnswerOnly ? 0 : maxEvents,
      returnImmediately: intervalMs > 0,
      ...(this.#answers.ack.length > 0 && { ack: this.#answers.ack }),
      ...(Object.keys(this.#answers.setErrs).length > 0 && { setErrs: this.#answers.setErrs }),
    };
    const answer = await http.ask({ method: 'POST', url, body, timeoutMs, signal: this.#signal });
    const told = new Set([...this.#answers.ack, ...Object.keys(this.#answers.setErrs)]);
    this.#answers = NONE;
    health.polled(clock.now());
    // Where nothing is asked for, nothing needs to be said.
    const { sets, moreAvailable } = isAnswerOnly && answer.json === undefined ? {} : objectOf(answer);
    if (!isRecord(sets ?? {}))
      throw new TransmitterError("answered a poll with 'sets' that are not an object");
    const brought = Object.entries(isRecord(sets) ? sets : {});
    this.#repeats = brought.every(([id]) => told.has(id)) ? this.#repeats + 1 : 0;
    this.#last = await this.#take(brought, moreAvailable === true);
    return this.#last;
  }

  pauseMs(): number {
    const { intervalMs } = this.#options;
    // A transmitter that does not listen must not make a busy loop of us.
    if (this.#last.hasMore || this.#owesAnswers)
      return this.#repeats === 0 ? 0 : pauseMs(IDLE_MS, MOST_IDLE_MS, this.#repeats);
    return intervalMs > 0 ? pauseMs(intervalMs, intervalMs, 0) : IDLE_MS;
  }

  get #owesAnswers(): boolean {
    return this.#answers.ack.length > 0 || Object.keys(this.#answers.setErrs).length > 0;
  }

  /** One after the other, in the order in which they came; a state that cannot be written now is not asked again and again. */
  async #take(sets: readonly (readonly [string, unknown])[], hasMore: boolean): Promise<Turn> {
    const ack: string[] = [];
    const setErrs: [string, SetProblem][] = [];
    let failures = 0;
    // More than was asked for is left for the next time.
    for (const [id, text] of sets.slice(0, this.#options.maxEvents)) {
      if (this.#signal.aborted) break;
      const answer = await this.#takeOne(id, text);
      if (answer === 'again') failures += 1;
      if (failures === MOST_FAILURES) break;
      if (answer === 'again') continue;
      if (answer === 'taken') ack.push(id);
      else setErrs.push([id, answer]);
    }
    this.#answers = { ack, setErrs: Object.fromEntries(setErrs) };
    return { hasMore: hasMore && failures === 0, isIncomplete: failures > 0 };
  }

  async #takeOne(id: string, text: unknown): Promise<'taken' | 'again' | SetProblem> {
    if (typeof text !== 'string') return setProblem('invalid_request', 'the SET is not a string');
    try {
      const answer = await this.#options.receive(text);
      if ('err' in answer) return answer;
      return answer.id === id ? 'taken' : setProblem('invalid_request', 'jti is not the name of the SET');
    } catch {
      // Told by the receiver. One SET that we fail at must not keep the others away.
      return 'again';
    }
  }
}
