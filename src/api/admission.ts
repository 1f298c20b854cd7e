import type { Clock } from '../pdp/ports.ts';

/** When calls are shed. */
export interface AdmissionRules {
  /** Ms that calls may wait before they are begun. While there are too many, the wait is held between this and three times this. */
  readonly targetMs: number;
  /** Ms for which calls must have waited too long before one is shed, and not have before all are taken again. */
  readonly intervalMs: number;
}

/** The event loop, as far as admission has to know it. */
export interface Turns {
  /** Ms for which the loop has waited with nothing to do, since the start. */
  idleMs(): number;
  /** Calls `run` once this turn has read what was there, and has done what follows from it. */
  afterTurn(run: () => void): void;
}

/** The event loop of this thread. */
export const EVENT_LOOP: Turns = {
  idleMs: () => performance.nodeTiming.idleTime,
  afterTurn: (run) => void setImmediate(run),
};

/** Targets that a wait has at which as few calls as ever are taken. Less would have the share swing from turn to turn. */
const LONGEST = 3;
/** A wait that is this much of the one before is that of a stall being made up for: what comes is less than what is done. */
const DRAINING = 0.8;
/** Taken in any case: one of so many, or nobody would ever be answered where there is more than can even be shed. */
const LEAST_SHARE = 1 / 64;
/** Of the target, and of the time since the last turn: a loop that was idle for as long had read everything, and has time to spare. */
const IDLE = 0.1;

/**
 * Decides which calls are begun and which are shed, by how long calls waited before they were begun (ADR 0029).
 *
 * Bytes that arrive while the event loop is busy are read in its next turn: calls of a turn have waited for at most what the loop has
 * worked since the turn before began. That is known when the first of them is begun, and it is the whole wait as long as a turn reads all that is there.
 * No timer would see it: a timer is late by one turn, whatever waits behind it.
 *
 * Once the wait has been long for the whole of an interval, a share of the calls is taken that falls as the wait grows, evenly over all
 * connections; it settles where what is taken and what is shed just fill the time. A stall sheds nothing while its backlog shrinks from turn to turn.
 */
export class Admission {
  readonly #rules: AdmissionRules;
  readonly #clock: Pick<Clock, 'monotonic'>;
  readonly #turns: Turns;
  readonly #ended = (): void => void (this.#isInTurn = false);
  #isInTurn = false;
  /** Of the turn. */
  #began = Number.NaN;
  #calls = 0;
  #idle = 0;
  #waited = 0;
  #longSince: number | undefined;
  #longUntil = Number.NEGATIVE_INFINITY;
  #isShedding = false;
  #share = 1;
  #credit = 0;

  constructor(rules: AdmissionRules, clock: Pick<Clock, 'monotonic'>, turns: Turns = EVENT_LOOP) {
    this.#rules = rules;
    this.#clock = clock;
    this.#turns = turns;
  }

  /** Whether the call that is to begin now may; to be asked once for each call. */
  admits(): boolean {
    if (!this.#isInTurn) this.#begin();
    this.#calls += 1;
    if (this.#share >= 1) return true;
    this.#credit += this.#share;
    if (this.#credit < 1) return false;
    this.#credit -= 1;
    return true;
  }

  /** Ms that calls may have waited before the last turn with calls in it. */
  get waitedMs(): number {
    return this.#waited;
  }

  /** Whether calls are being shed. */
  get isShedding(): boolean {
    // A turn may well take longer than the interval.
    const until = this.#longUntil + this.#waited + this.#rules.intervalMs;
    return this.#isShedding && this.#clock.monotonic() < until;
  }

  #begin(): void {
    this.#isInTurn = true;
    this.#turns.afterTurn(this.#ended);
    const [now, idle] = [this.#clock.monotonic(), this.#turns.idleMs()];
    const [passed, rested] = [now - this.#began, idle - this.#idle];
    // Who asks again when he is answered has not waited, however long the answer took.
    const isPressed = this.#calls > 1 && rested < Math.max(this.#rules.targetMs, passed) * IDLE;
    const before = this.#waited;
    this.#waited = isPressed ? passed - rested : 0;
    this.#began = now;
    this.#calls = 0;
    this.#idle = idle;
    this.#judge(now, this.#waited < before * DRAINING);
  }

  #judge(now: number, isDraining: boolean): void {
    const { targetMs, intervalMs } = this.#rules;
    const isLong = this.#waited > targetMs;
    if (!isLong) this.#longSince = undefined;
    else if (isDraining || this.#longSince === undefined) this.#longSince = now;
    if (isLong) this.#longUntil = now;
    const hasBeen = this.#longSince !== undefined && now - this.#longSince >= intervalMs;
    this.#isShedding = hasBeen || (this.#isShedding && now - this.#longUntil < intervalMs);
    this.#share = this.#isShedding ? shareOf(this.#waited / targetMs) : 1;
  }
}

/** How many of the calls are taken, by the wait in targets. */
function shareOf(waited: number): number {
  const share = (LONGEST - waited) / (LONGEST - 1);
  return Math.max(LEAST_SHARE, Math.min(1, share));
}
