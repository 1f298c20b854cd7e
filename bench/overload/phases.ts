import { type H2Connection, extAuthzCode } from '../load/h2-connection.ts';
import type { RequestAt } from '../load/load.ts';

/** Answers of one window of time, by when the calls were due. */
export interface Window {
  /** Seconds from the start at which it ends. */
  readonly at: number;
  /** Calls that were due in it. */
  readonly sent: number;
  /** Microseconds from when a call was due to its answer, sorted. */
  readonly accepted: Float64Array;
  readonly shed: Float64Array;
  /** Denied for another reason than overload, or not answered. */
  readonly other: number;
}

/** A time at one rate. */
export interface Phase {
  readonly name: string;
  readonly rate: number;
  readonly ms: number;
}

/** What {@link overloadCode} gives for a shed call; a CheckResponse has no such code of its own. */
const SHED = 100;
const OVERLOADED = Buffer.from('overloaded');

/** As {@link extAuthzCode}, and tells a shed call: `status.message`, field 2, is the reason. */
export function overloadCode(data: Buffer): number | undefined {
  const code = extAuthzCode(data);
  return code !== undefined && code > 0 && data.subarray(11, 11 + OVERLOADED.length).equals(OVERLOADED)
    ? SHED
    : code;
}

const DRAIN_MS = 10_000;
const NO_ANSWER = -1;

class Windows {
  readonly #ms: number;
  readonly #start: number;
  readonly #all: { sent: number; accepted: number[]; shed: number[]; other: number }[] = [];

  constructor(ms: number, start: number) {
    this.#ms = ms;
    this.#start = start;
  }

  due(at: number): void {
    this.#of(at).sent += 1;
  }

  answered(dueAt: number, code: number, now: number): void {
    const window = this.#of(dueAt);
    if (code === 0) window.accepted.push((now - dueAt) * 1000);
    else if (code === SHED) window.shed.push((now - dueAt) * 1000);
    else window.other += 1;
  }

  done(): Window[] {
    return this.#all.map(({ sent, accepted, shed, other }, n) => ({
      at: ((n + 1) * this.#ms) / 1000,
      sent,
      accepted: Float64Array.from(accepted).sort(),
      shed: Float64Array.from(shed).sort(),
      other,
    }));
  }

  #of(at: number) {
    const n = Math.max(0, Math.floor((at - this.#start) / this.#ms));
    while (this.#all.length <= n) this.#all.push({ sent: 0, accepted: [], shed: [], other: 0 });
    return this.#all[n] ?? { sent: 0, accepted: [], shed: [], other: 0 };
  }
}

/**
 * Open loop through phases without a pause between them: sends at each phase's rate whatever the server does, and counts a call's latency
 * from the moment it was due. `sample` is called once in each window.
 */
export async function runPhases(
  connections: readonly H2Connection[],
  requestAt: RequestAt,
  phases: readonly Phase[],
  windowMs: number,
  sample: () => void,
): Promise<Window[]> {
  const start = performance.now();
  const windows = new Windows(windowMs, start);
  for (const connection of connections)
    connection.onAnswer = (dueAt, code) => windows.answered(dueAt, code, performance.now());
  let sent = 0;
  let [from, nextSample] = [start, start + windowMs];
  for (const { rate, ms } of phases) {
    const end = from + ms;
    await sending(from, end, 1000 / rate, (due) => {
      if (due >= 0) {
        windows.due(due);
        connections[sent % connections.length]?.send(requestAt(sent), due);
        sent += 1;
      } else {
        for (const connection of connections) connection.flush();
        if (performance.now() >= nextSample) {
          nextSample += windowMs;
          sample();
        }
      }
    });
    from = end;
  }
  const until = performance.now() + DRAIN_MS;
  while (connections.some(({ inFlight }) => inFlight > 0) && performance.now() < until)
    await new Promise((resolve) => setTimeout(resolve, 5));
  for (const connection of connections)
    for (const due of connection.forget()) windows.answered(due, NO_ANSWER, performance.now());
  return windows.done();
}

/** Calls `act` with each time that is due, and with -1 once a turn. Spins: timers know milliseconds only. */
function sending(from: number, end: number, interval: number, act: (due: number) => void): Promise<void> {
  return new Promise((resolve) => {
    let n = 0;
    const turn = () => {
      const now = performance.now();
      for (let due = from; (due = from + n * interval) <= now && due < end; n += 1) act(due);
      act(-1);
      if (now >= end) resolve();
      else setImmediate(turn);
    };
    turn();
  });
}
