import { setTimeout as delay } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import type { Log } from '../../pdp/log.ts';
import { pauseMs } from '../../pdp/retry-pause.ts';
import type { CommitPosition } from '../log/commit-position.ts';
import { faultText } from './fault-text.ts';
import { SinkFigures, type SinkReport } from './sink-figures.ts';
import type { SinkSettings } from './sink-settings.ts';

/** What the thread is given. */
export interface SinkWorkerData {
  readonly dir: string;
  readonly log: string;
  readonly sinks: readonly SinkSettings[];
  readonly position: SharedArrayBuffer;
  readonly figures: SharedArrayBuffer;
}

/** What the thread tells: something for operators, or that it has come to its end. */
export type SinkWorkerMessage =
  { readonly level: 'info' | 'warn' | 'error'; readonly fields: object; readonly message: string } | 'done';

/** What a {@link SinkThread} needs. */
export interface SinkThreadOptions {
  /** Folder of the log. */
  readonly dir: string;
  /** Origin name of the log. */
  readonly log: string;
  readonly sinks: readonly SinkSettings[];
  /** Ms that sinks have for what is left when the log is closed. */
  readonly drainMs: number;
  readonly logger: Log;
}

/** The same file as built or as source, whichever runs. */
const WORKER = new URL(
  import.meta.url.endsWith('.ts') ? './sink-worker.ts' : './sink-worker.js',
  import.meta.url,
);

/** Ms beyond the time to drain after which the thread is ended. */
const GRACE_MS = 500;
const RESTART_MIN_MS = 1000;
const RESTART_MAX_MS = 60_000;

/**
 * Delivers a log to its sinks from one thread of its own, which reads the files: the serving thread has no part in it. Disposed of after the
 * log's writer is: what is in the log by then is still delivered, as long as there is time; the rest is left to the next run.
 */
export class SinkThread implements AsyncDisposable {
  readonly #options: SinkThreadOptions;
  readonly #figures: SinkFigures;
  #position: CommitPosition | undefined;
  #worker: Worker | undefined;
  #deaths = 0;
  readonly #ending = new AbortController();

  constructor(options: SinkThreadOptions) {
    this.#options = options;
    this.#figures = new SinkFigures(options.sinks.map(({ name }) => name));
  }

  /** Begins to deliver. */
  start(position: CommitPosition): void {
    this.#position = position;
    if (this.#options.sinks.length > 0) this.#spawn(position);
  }

  /** How each sink stands. */
  report(): readonly SinkReport[] {
    return this.#figures.report(this.#position?.read().nextIndex ?? 0);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#ending.abort();
    const worker = this.#worker;
    if (worker === undefined) return;
    const { drainMs } = this.#options;
    const { promise, resolve } = Promise.withResolvers<void>();
    worker.once('exit', resolve);
    worker.on('message', (message: SinkWorkerMessage) => {
      if (message === 'done') resolve();
    });
    worker.postMessage({ drainMs });
    await Promise.race([promise, delay(drainMs + GRACE_MS, undefined, { ref: false })]);
    await worker.terminate();
    this.#sayUndelivered();
  }

  #spawn(position: CommitPosition): void {
    const { dir, log, sinks, logger } = this.#options;
    const workerData: SinkWorkerData = {
      dir,
      log,
      sinks,
      position: position.buffer,
      figures: this.#figures.buffer,
    };
    const worker = new Worker(WORKER, { workerData });
    this.#worker = worker;
    worker.on('message', (message: SinkWorkerMessage) => {
      if (message !== 'done') logger[message.level](message.fields, message.message);
    });
    worker.on('error', (error) =>
      logger.error({ problem: faultText(error) }, 'the thread of the sinks failed'),
    );
    worker.on('exit', () => void this.#again(position));
  }

  /** A thread that ends by itself is begun anew, where its cursors are. */
  async #again(position: CommitPosition): Promise<void> {
    this.#worker = undefined;
    this.#deaths += 1;
    const { signal } = this.#ending;
    const pause = pauseMs(RESTART_MIN_MS, RESTART_MAX_MS, this.#deaths);
    await delay(pause, undefined, { signal, ref: false }).catch(() => undefined);
    if (!signal.aborted) this.#spawn(position);
  }

  #sayUndelivered(): void {
    for (const { name, lag } of this.report())
      if (lag > 0)
        this.#options.logger.warn(
          { sink: name, records: lag },
          'a sink has not delivered everything; the next run goes on there',
        );
  }
}
