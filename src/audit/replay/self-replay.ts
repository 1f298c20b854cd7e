import { Worker } from 'node:worker_threads';
import type { Log } from '../../pdp/log.ts';
import type { Committed } from '../log/commit-position.ts';
import type { LogWriter } from '../log/log-writer.ts';
import { type SelfReplayData, type SelfReplayOrder, portion } from './self-replay-run.ts';
import { type Case, type Tally, recordsIn } from './tally.ts';
import type { NotReplayable, NotReplayableWhy } from './verdict.ts';

/** What the replaying thread answers to an order. */
export type SelfReplayAnswer =
  { readonly kind: 'done'; readonly tally: Tally } | { readonly kind: 'failed'; readonly message: string };

/** How much is replayed, and how often. */
export interface SelfReplaySettings extends SelfReplayData {
  /** Share of the records, 0 to 1. */
  readonly sample: number;
  /** Records in one run at most. */
  readonly maxPerRun: number;
  readonly intervalMs: number;
}

/** What self-replay needs. */
export interface SelfReplayParts {
  readonly settings: SelfReplaySettings;
  readonly writer: Pick<LogWriter, 'appendControl' | 'committed'>;
  readonly log: Log;
}

/** What self-replay has done in this run of the process. */
export interface SelfReplayFigures {
  readonly match: number;
  readonly mismatch: number;
  readonly notReplayable: number;
  /** Of these, because the log is damaged: see {@link DAMAGE}. */
  readonly damaged: number;
  /** Runs that could not be made. */
  readonly failed: number;
}

/** The same file as built or as source, whichever runs. */
const WORKER = new URL(
  import.meta.url.endsWith('.ts') ? './self-replay-worker.ts' : './self-replay-worker.js',
  import.meta.url,
);

/** Heap of the replaying thread, in MiB: engines and what they hold are beside it. */
const MAX_HEAP_MB = 512;
/** A run that lasts longer leaves out the rest. */
const MAX_RUN_MS = 30_000;
/**
 * What cannot have become of records that were just written, unless their files were damaged or changed. Erasures and retention leave other
 * reasons.
 */
const DAMAGE = [
  'blob_missing',
  'blob_changed',
  'policies_missing',
  'policies_changed',
  'malformed',
  'unknown_version',
] as const satisfies readonly NotReplayableWhy[];

function isDamage({ verdict }: Case<NotReplayable>): boolean {
  return DAMAGE.some((why) => why === verdict.why);
}

/** Mismatches of one run that are logged one by one. */
const MAX_ALARMS = 10;

/**
 * Replays a sample of what was just written, in a thread of its own: whether decisions come out the same when they are made again from the log is
 * asked all the time, not only when an auditor does. A mismatch is an alarm until the next restart. Neither the thread nor what becomes of
 * it ever holds up a decision or the end of the process.
 */
export class SelfReplay implements Disposable {
  readonly #parts: SelfReplayParts;
  readonly #timer: NodeJS.Timeout;
  #figures: SelfReplayFigures = { match: 0, mismatch: 0, notReplayable: 0, damaged: 0, failed: 0 };
  #from: Committed;
  #worker: Worker | undefined;
  #busy = false;
  #first: string | undefined;
  #closed = false;

  constructor(parts: SelfReplayParts) {
    this.#parts = parts;
    this.#from = parts.writer.committed.read();
    this.#timer = setInterval(() => this.#next(), parts.settings.intervalMs).unref();
  }

  /** What was done since the start. */
  get figures(): SelfReplayFigures {
    return this.#figures;
  }

  /** That decisions did not come out the same, or that what they need is damaged; stays until the next restart. */
  warnings(): readonly string[] {
    const { mismatch, damaged } = this.#figures;
    if (this.#first === undefined) return [];
    return [
      `self-replay: ${mismatch} recorded decisions do not come out the same, and what ${damaged} need is damaged; the first: ${this.#first}`,
    ];
  }

  [Symbol.dispose](): void {
    this.#closed = true;
    clearInterval(this.#timer);
    void this.#worker?.terminate();
  }

  #next(): void {
    if (this.#busy) return;
    const { sample, maxPerRun } = this.#parts.settings;
    const [from, to] = [this.#from, this.#parts.writer.committed.read()];
    this.#from = to;
    const records = Math.min(maxPerRun, portion(to.nextIndex - from.nextIndex, sample));
    if (records <= 0) return;
    this.#busy = true;
    this.#thread().postMessage({ from, to, records, maxMs: MAX_RUN_MS } satisfies SelfReplayOrder);
  }

  /** Begun when there is something to do, and again where it ended. */
  #thread(): Worker {
    if (this.#worker) return this.#worker;
    const { dir, status, engine } = this.#parts.settings;
    const worker = new Worker(WORKER, {
      workerData: { dir, status, engine } satisfies SelfReplayData,
      resourceLimits: { maxOldGenerationSizeMb: MAX_HEAP_MB, stackSizeMb: 8 },
    });
    // Decisions keep the process alive, not this.
    worker.unref();
    worker.on('message', (answer: SelfReplayAnswer) => this.#take(answer));
    worker.on('error', (error) => this.#failed(error.message));
    worker.on('exit', () => {
      this.#worker = undefined;
      this.#busy = false;
    });
    this.#worker = worker;
    return worker;
  }

  #take(answer: SelfReplayAnswer): void {
    this.#busy = false;
    if (this.#closed) return;
    if (answer.kind === 'failed') this.#failed(answer.message);
    else this.#count(answer.tally);
  }

  #failed(message: string): void {
    if (this.#closed) return;
    this.#figures = { ...this.#figures, failed: this.#figures.failed + 1 };
    this.#parts.log.warn({ problem: message }, 'recorded decisions could not be replayed');
  }

  #count(tally: Tally): void {
    const { match, mismatch, notReplayable, damaged, failed } = this.#figures;
    this.#figures = {
      match: match + tally.match,
      mismatch: mismatch + tally.mismatch,
      notReplayable: notReplayable + tally.notReplayable,
      damaged: DAMAGE.reduce((sum, why) => sum + tally.why[why], damaged),
      failed,
    };
    this.#alarm(tally);
    if (recordsIn(tally) > 0) this.#record(tally);
  }

  #alarm({ mismatches, unreplayed }: Tally): void {
    for (const { decisionId, index, verdict } of mismatches.slice(0, MAX_ALARMS)) {
      const { field, recorded, replayed } = verdict;
      this.#first ??= `decision ${decisionId ?? '?'}, ${field}`;
      this.#parts.log.error(
        { decision_id: decisionId, index, field, recorded, replayed },
        'a recorded decision does not come out the same when it is replayed',
      );
    }
    for (const { decisionId, index, verdict } of unreplayed.filter(isDamage).slice(0, MAX_ALARMS)) {
      const { why, about } = verdict;
      this.#first ??= `decision ${decisionId ?? '?'}, ${why}`;
      this.#parts.log.error(
        { decision_id: decisionId, index, why, about },
        'a recorded decision cannot be replayed, for the log is damaged',
      );
    }
  }

  #record(tally: Tally): void {
    const { writer, log, settings } = this.#parts;
    const fields = {
      by: 'self',
      records: recordsIn(tally),
      match: tally.match,
      mismatch: tally.mismatch,
      not_replayable: tally.notReplayable,
      by_stage_result: tally.by.stage_result,
      from: tally.first,
      to: tally.last,
      sample: String(settings.sample),
      engine: settings.engine,
    };
    writer
      .appendControl('replay_run', fields)
      .catch((error: unknown) => log.warn({ err: error }, 'a replay run is not in the decision log'));
  }
}
