import type { H2Connection, RequestFrames } from './h2-connection.ts';

/** The n-th request of a scenario. */
export type RequestAt = (n: number) => RequestFrames;

/** How the answers of one run came out. */
export interface Outcome {
  /** Latencies in microseconds, sorted; of a call without an answer, how long it was waited for. */
  readonly latencies: Float64Array;
  /** Answers in the measured time. */
  readonly answers: number;
  readonly allowed: number;
  readonly denied: number;
  /** Calls without an answer. */
  readonly failed: number;
  /** Calls sent, warm-up included. */
  readonly sent: number;
  /** Seconds measured. */
  readonly seconds: number;
  /** Share of its core that the generator used. */
  readonly generatorBusy: number;
}

/** What every run needs. */
export interface RunOptions {
  readonly connections: readonly H2Connection[];
  readonly requestAt: RequestAt;
  /** Milliseconds measured, after the warm-up. */
  readonly measureMs: number;
  readonly warmUpMs: number;
  /** How the open loop waits: by spinning, which takes a core for itself, or by timers, which are late by up to a ms. Default `spin`. */
  readonly pacing?: 'spin' | 'timers';
}

const DRAIN_MS = 5000;

class Tally {
  readonly #latencies: number[] = [];
  readonly #from: number;
  readonly #to: number;
  allowed = 0;
  denied = 0;
  failed = 0;
  answers = 0;

  constructor(from: number, to: number) {
    this.#from = from;
    this.#to = to;
  }

  /** Counts by the time that `dueAt` or, for throughput, the answer falls into. */
  add(dueAt: number, code: number, now: number): void {
    if (code >= 0 && now >= this.#from && now < this.#to) this.answers += 1;
    if (code === 0) this.allowed += 1;
    else if (code > 0) this.denied += 1;
    else this.failed += 1;
    if (code >= 0) this.#charge(dueAt, now);
  }

  /** Counts the calls that had no answer until `now`: they failed, and took at least as long. */
  unanswered(connections: readonly H2Connection[], now: number): void {
    for (const connection of connections) {
      for (const dueAt of connection.forget()) {
        this.failed += 1;
        this.#charge(dueAt, now);
      }
    }
  }

  #charge(dueAt: number, now: number): void {
    if (dueAt >= this.#from && dueAt < this.#to) this.#latencies.push((now - dueAt) * 1000);
  }

  outcome(sent: number, generatorBusy: number): Outcome {
    return {
      latencies: Float64Array.from(this.#latencies).sort(),
      answers: this.answers,
      allowed: this.allowed,
      denied: this.denied,
      failed: this.failed,
      sent,
      seconds: (this.#to - this.#from) / 1000,
      generatorBusy,
    };
  }
}

/** Closed loop: keeps `concurrency` calls under way, which shows how much a server can do. */
export async function closedLoop(options: RunOptions, concurrency: number): Promise<Outcome> {
  const { connections, requestAt, measureMs, warmUpMs } = options;
  const start = performance.now();
  const end = start + warmUpMs + measureMs;
  const tally = new Tally(start + warmUpMs, end);
  const cpu = process.cpuUsage();
  let sent = 0;
  const next = (connection: H2Connection) => connection.send(requestAt(sent++), performance.now());
  for (const connection of connections) {
    connection.onAnswer = (dueAt, code) => {
      const now = performance.now();
      tally.add(dueAt, code, now);
      if (now < end && code >= 0) next(connection);
    };
  }
  for (let i = 0; i < concurrency; i++) next(connectionAt(connections, i));
  for (const connection of connections) connection.flush();
  await drained(connections, end);
  tally.unanswered(connections, performance.now());
  return tally.outcome(sent, busySince(cpu, start));
}

/**
 * Open loop: sends at a constant rate whatever the server does, and counts a call's latency from the moment it was due. A
 * server that stalls is charged for every call that should have been sent meanwhile (no coordinated omission).
 *
 * The loop spins unless told otherwise: timers know milliseconds only and send in bursts.
 */
export async function openLoop(options: RunOptions, rate: number): Promise<Outcome> {
  const { connections, requestAt, measureMs, warmUpMs, pacing = 'spin' } = options;
  const cpu = process.cpuUsage();
  const start = performance.now();
  const end = start + warmUpMs + measureMs;
  const tally = new Tally(start + warmUpMs, end);
  for (const connection of connections) {
    connection.onAnswer = (dueAt, code) => tally.add(dueAt, code, performance.now());
  }
  const interval = 1000 / rate;
  let sent = 0;
  await new Promise<void>((resolve) => {
    const turn = () => {
      const now = performance.now();
      for (let due = start + sent * interval; due <= now && due < end; due = start + sent * interval) {
        connectionAt(connections, sent).send(requestAt(sent), due);
        sent += 1;
      }
      for (const connection of connections) connection.flush();
      const under = connections.some(({ inFlight }) => inFlight > 0);
      if (now >= end && !(under && now < end + DRAIN_MS)) resolve();
      else if (pacing === 'spin') setImmediate(turn);
      else setTimeout(turn, 1);
    };
    turn();
  });
  tally.unanswered(connections, performance.now());
  return tally.outcome(sent, busySince(cpu, start));
}

function connectionAt(connections: readonly H2Connection[], n: number): H2Connection {
  const connection = connections[n % connections.length];
  if (connection === undefined) throw new TypeError('a run needs at least one connection');
  return connection;
}

async function drained(connections: readonly H2Connection[], end: number): Promise<void> {
  while (performance.now() < end || connections.some(({ inFlight }) => inFlight > 0)) {
    if (performance.now() > end + DRAIN_MS) return;
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

function busySince(before: NodeJS.CpuUsage, start: number): number {
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1000 / (performance.now() - start);
}
