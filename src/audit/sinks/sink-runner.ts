import { setTimeout as delay } from 'node:timers/promises';
import type { Log } from '../../pdp/log.ts';
import { pauseMs } from '../../pdp/retry-pause.ts';
import type { Committed } from '../log/commit-position.ts';
import type { CursorFile } from './cursor-file.ts';
import { deliverWithin } from './deliver-within.ts';
import { DeliverySize } from './delivery-size.ts';
import type { LogTail, LostRange } from './log-tail.ts';
import { Outage } from './outage.ts';
import { DeliveryError, type LogLine, type Sink } from './sink.ts';
import type { SinkFigure } from './sink-figures.ts';
import type { DeliveryRules } from './sink-settings.ts';
import { stubLine } from './stub-line.ts';

/** What a {@link SinkRunner} needs. */
export interface SinkRunnerParts {
  /** Origin name of the log. */
  readonly log: string;
  readonly rules: DeliveryRules;
  readonly sink: Sink;
  readonly tail: LogTail;
  readonly cursor: CursorFile;
  readonly committed: () => Committed;
  readonly figure: SinkFigure;
  readonly logger: Log;
}

const CLOSE_MS = 250;

/** A close may hang as a delivery does, and what it says no longer matters. */
async function letGo(sink: Sink): Promise<void> {
  await sink.close().catch(() => undefined);
}

/** Brings the log to one sink: in order, at least once, for ever. Nothing that a sink does ends it. */
export class SinkRunner {
  readonly #parts: SinkRunnerParts;
  readonly #size: DeliverySize;
  readonly #outage: Outage;
  /** Index of the next record to deliver; `undefined`: not known yet. */
  #next: number | undefined;
  /** Whether nothing was ever delivered: what is no longer there is then not lost. */
  #fresh = false;
  #pending: readonly LogLine[] = [];
  /** The cursor on disk. */
  #saved: number | undefined;
  /** Aborted once the log is closed: ends the pause under way. */
  readonly #closed = new AbortController();
  /** Aborted when the time after that is over. */
  readonly #end = new AbortController();

  constructor(parts: SinkRunnerParts) {
    this.#parts = parts;
    this.#size = new DeliverySize(parts.rules.maxRecords);
    this.#outage = new Outage(parts.rules.name, parts.logger);
  }

  /** Delivers until it is told that the log is closed, and then what is left, as long as there is time. Never rejects. */
  async run(): Promise<void> {
    while (!this.#done()) await this.#step();
    const { sink, tail } = this.#parts;
    await Promise.race([Promise.all([letGo(sink), tail[Symbol.asyncDispose]()]), delay(CLOSE_MS)]);
  }

  /** The log is closed: delivers what is left, for at most so many ms. */
  drain(withinMs: number): void {
    setTimeout(() => this.#end.abort(), withinMs).unref();
    this.#closed.abort();
  }

  #done(): boolean {
    if (this.#end.signal.aborted) return true;
    if (!this.#closed.signal.aborted || this.#next === undefined) return false;
    return this.#saved === this.#next && this.#next >= this.#parts.committed().nextIndex;
  }

  async #step(): Promise<void> {
    try {
      this.#next ??= this.#begin();
      if (this.#saved !== this.#next) this.#save(this.#next);
      if (this.#pending.length === 0) await this.#take(this.#next);
      if (this.#pending.length === 0) await this.#wait(this.#parts.rules.maxWaitMs);
      else await this.#deliver(this.#pending.slice(0, this.#size.lines));
    } catch (error) {
      await this.#failed(error);
    }
  }

  /** Where the last run ended. */
  #begin(): number {
    const { cursor, rules, logger, committed } = this.#parts;
    const stored = cursor.read();
    const { nextIndex, segment } = committed();
    if (stored === 'unreadable')
      logger.error(
        { sink: rules.name },
        'the cursor of a sink cannot be read: everything is delivered again',
      );
    this.#fresh = typeof stored !== 'number';
    if (stored === undefined && rules.from === 'now') return this.#moved(nextIndex);
    if (typeof stored !== 'number') return this.#moved(0);
    if (stored <= nextIndex) return this.#moved(stored);
    const first = Math.max(0, segment);
    logger.error(
      { sink: rules.name, cursor: stored, next_index: nextIndex, from: first },
      'a sink has delivered more than the log holds, which lost its end: the newest segment is delivered again',
    );
    return this.#moved(first);
  }

  #moved(index: number): number {
    this.#parts.figure.next(index);
    this.#next = index;
    this.#save(index);
    return index;
  }

  #save(index: number): void {
    this.#parts.cursor.write(index);
    this.#saved = index;
  }

  async #take(from: number): Promise<void> {
    const { tail, rules } = this.#parts;
    const { lines, lost } = await tail.take(from, rules);
    this.#pending = lines;
    if (lost === undefined) return;
    this.#say(lost);
    this.#moved(lost.last + 1);
  }

  #say({ first, last }: LostRange): void {
    const { logger, rules, figure } = this.#parts;
    if (this.#fresh) {
      logger.info({ sink: rules.name, from: last + 1 }, 'a new sink begins with the oldest record there is');
      return;
    }
    figure.lost(last - first + 1);
    logger.error(
      { sink: rules.name, first, last },
      'records were removed from the log before a sink could deliver them',
    );
  }

  async #deliver(lines: readonly LogLine[]): Promise<void> {
    const { sink, rules, figure } = this.#parts;
    await deliverWithin(sink, lines, rules.timeoutMs, this.#end.signal);
    this.#pending = this.#pending.slice(lines.length);
    this.#fresh = false;
    this.#size.delivered();
    this.#outage.over();
    figure.delivered(lines.length);
    this.#moved((lines.at(-1)?.index ?? 0) + 1);
  }

  async #failed(error: unknown): Promise<void> {
    const { rules, figure, sink } = this.#parts;
    // What the end of the process cuts short is no failure of the receiver.
    if (this.#end.signal.aborted) return;
    const known = error instanceof DeliveryError ? error : undefined;
    if (known?.fault === 'too_large' && this.#shortened()) return;
    figure.failed();
    const failures = this.#outage.failed(error, known?.fault !== 'unavailable');
    // Its connections may be what is wrong.
    void letGo(sink);
    const slowly = known !== undefined && known.fault !== 'unavailable';
    const pause = pauseMs(rules.retryMinMs, rules.retryMaxMs, slowly ? 0 : failures);
    await this.#wait(Math.min(rules.retryMaxMs, Math.max(known?.retryAfterMs ?? 0, pause)));
  }

  /** Makes what is too large smaller; false: it cannot be made smaller. */
  #shortened(): boolean {
    const [line, ...rest] = this.#pending;
    if (line === undefined || this.#size.tooLarge(Math.min(this.#size.lines, this.#pending.length)))
      return true;
    const { log, rules, logger, figure } = this.#parts;
    const stub = stubLine(log, line);
    if (stub.bytes.length >= line.bytes.length) return false;
    figure.oversized();
    logger.error(
      { sink: rules.name, index: line.index, bytes: line.bytes.length },
      'a record is longer than the receiver takes: a stub is delivered instead',
    );
    this.#pending = [stub, ...rest];
    return true;
  }

  /** Ends early when the log is closed, or when the time after that is over. */
  async #wait(ms: number): Promise<void> {
    const { signal } = this.#closed.signal.aborted ? this.#end : this.#closed;
    await delay(ms, undefined, { signal }).catch(() => undefined);
  }
}
