import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { messageOf } from '../../pdp/errors.ts';
import type { Log } from '../../pdp/log.ts';
import type { Clock } from '../../pdp/ports.ts';
import { type DirLock, DirLockedError, lockDir } from '../log/dir-lock.ts';
import type { LogWriter } from '../log/log-writer.ts';
import { NODE_SEAL_FS, makeFolder } from './seal-fs.ts';
import type { FromSealer, SealSettings, SealStatus, SealWorkerData, ToSealer } from './seal-messages.ts';

/** The same file as built or as source, whichever runs. */
const WORKER = new URL(
  import.meta.url.endsWith('.ts') ? './seal-worker.ts' : './seal-worker.js',
  import.meta.url,
);

/** How far the sealing is behind the log. */
export interface SealLag {
  /** Records that are not sealed yet. */
  readonly records: number;
  /** Ms since the newest checkpoint; before the first of this run: since the start. */
  readonly ms: number;
}

/** The writer of the log that is sealed. */
export type SealedWriter = Pick<LogWriter, 'committed' | 'appendControl'>;

/** Seals the log of this process, in a thread of its own. Dispose it after the writer: it then seals what that has written last. */
export interface LogSealer extends AsyncDisposable {
  /** Says what is to be sealed: from `start` on, or at the end. */
  follow(writer: SealedWriter): void;
  /** Begins, without waiting for anything. */
  start(): void;
  lag(): SealLag;
  /** What operators should know; none while all is well. */
  warnings(): readonly string[];
  /** Records that are sealed. */
  readonly size: number;
  /** Whether the last attempt to publish a checkpoint succeeded. */
  readonly sealing: boolean;
  /** How often the thread had to be started again. */
  readonly restarts: number;
}

/** What {@link createLogSealer} needs. */
export interface LogSealerOptions {
  readonly settings: SealSettings;
  readonly clock: Clock;
  readonly logger: Log;
  /** Pause in ms before a thread that crashed is started again, the first time; doubled each time until it seals, up to a minute. Default 1000. */
  readonly restartMs?: number;
  /** How long the end waits for the last checkpoint, in ms. Default 10 s. */
  readonly finishMs?: number;
}

const LOCK_RETRY_MS = 250;
const MAX_RESTART_MS = 60_000;
const REPEAT_MS = 60_000;
/** Checkpoints that may be missed before that is worth a warning, and the least time in ms. */
const LATE_ROUNDS = 10;
const LATE_MS = 15_000;

/** What seals a log once it is started. Nothing that goes wrong with it stops the process, or a decision. */
export function createLogSealer(options: LogSealerOptions): LogSealer {
  return new SealThread(options);
}

class SealThread implements LogSealer {
  restarts = 0;
  readonly #options: LogSealerOptions;
  #startedAt: number | undefined;
  #writer: SealedWriter | undefined;
  #status: SealStatus = { size: 0, time: 0, sealing: false, problems: [] };
  #statusAt: number | undefined;
  #crash: string | undefined;
  /** Since it last sealed. */
  #crashes = 0;
  #lock: DirLock | undefined;
  #worker: Worker | undefined;
  #timer: NodeJS.Timeout | undefined;
  #saidAt = Number.NEGATIVE_INFINITY;
  #said = '';
  #finished: PromiseWithResolvers<void> | undefined;

  constructor(options: LogSealerOptions) {
    this.#options = options;
  }

  follow(writer: SealedWriter): void {
    this.#writer = writer;
  }

  start(): void {
    if (!this.#writer || this.#startedAt !== undefined) return;
    this.#startedAt = this.#options.clock.monotonic();
    this.#begin(this.#writer);
  }

  get size(): number {
    return this.#status.size;
  }

  get sealing(): boolean {
    return this.#status.sealing;
  }

  lag(): SealLag {
    const { clock } = this.#options;
    const records = Math.max(0, (this.#writer?.committed.read().nextIndex ?? 0) - this.#status.size);
    const now = clock.monotonic();
    return { records, ms: now - (this.#statusAt ?? this.#startedAt ?? now) };
  }

  warnings(): readonly string[] {
    const found = [...this.#status.problems, ...(this.#crash === undefined ? [] : [this.#crash])];
    const { ms } = this.lag();
    const late = Math.max(LATE_MS, LATE_ROUNDS * this.#options.settings.checkpointMs);
    if (found.length === 0 && ms > late)
      return [`the decision log was last sealed ${Math.round(ms / 1000)} s ago`];
    return found;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#finished ??= this.#finish();
    await this.#finished.promise;
  }

  #finish(): PromiseWithResolvers<void> {
    const finished = Promise.withResolvers<void>();
    clearTimeout(this.#timer);
    this.start();
    const worker = this.#worker;
    if (worker === undefined) return this.#ended(finished);
    const { finishMs = 10_000, logger } = this.#options;
    this.#timer = setTimeout(() => {
      logger.error({}, 'the last records of the decision log are not sealed yet; the next run does it');
      void worker.terminate();
    }, finishMs);
    worker.once('exit', () => this.#ended(finished));
    worker.ref();
    this.#tell(worker, { kind: 'finish' });
    return finished;
  }

  #ended(finished: PromiseWithResolvers<void>): PromiseWithResolvers<void> {
    clearTimeout(this.#timer);
    this.#lock?.release();
    finished.resolve();
    return finished;
  }

  /** One process at a time: an earlier one may still be sealing its last records. */
  #begin(writer: SealedWriter): void {
    this.#timer = undefined;
    const { settings } = this.#options;
    try {
      this.#lock ??= lockFor(settings.dir);
      const data: SealWorkerData = { settings, committed: writer.committed.buffer };
      this.#watch(new Worker(WORKER, { workerData: data }), writer);
    } catch (error) {
      if (error instanceof DirLockedError) this.#again(writer, LOCK_RETRY_MS);
      else this.#crashed(writer, error);
    }
  }

  #watch(worker: Worker, writer: SealedWriter): void {
    this.#worker = worker;
    let reason: unknown;
    worker.on('message', (message: FromSealer) => this.#take(message, worker, writer));
    worker.on('error', (error) => {
      reason = error;
    });
    worker.on('exit', (code) => {
      this.#worker = undefined;
      if (this.#finished === undefined)
        this.#crashed(writer, reason ?? new Error(`the thread that seals the decision log ended (${code})`));
    });
    // Decisions keep the process alive, not this.
    worker.unref();
  }

  #take(message: FromSealer, worker: Worker, writer: SealedWriter): void {
    if (message.kind === 'status') return this.#takeStatus(message.status);
    const { id, control, fields } = message;
    writer.appendControl(control, fields).then(
      () => this.#tell(worker, { kind: 'appended', id, done: true }),
      () => this.#tell(worker, { kind: 'appended', id, done: false }),
    );
  }

  #tell(worker: Worker, message: ToSealer): void {
    worker.postMessage(message);
  }

  #takeStatus(status: SealStatus): void {
    this.#status = status;
    if (status.sealing) {
      this.#statusAt = this.#options.clock.monotonic();
      this.#crash = undefined;
      this.#crashes = 0;
    }
    this.#say(status.problems);
  }

  /** Says what is wrong when it changes, and again once a minute. */
  #say(problems: readonly string[]): void {
    const { clock, logger } = this.#options;
    const text = problems.join('; ');
    if (text === this.#said && (text === '' || clock.monotonic() - this.#saidAt < REPEAT_MS)) return;
    if (text === '') logger.info({}, 'the decision log is sealed again');
    else logger.error({ problems }, 'the decision log is not sealed as it should be');
    this.#said = text;
    this.#saidAt = clock.monotonic();
  }

  #crashed(writer: SealedWriter, error: unknown): void {
    this.#crash = `the decision log is not sealed: its thread failed (${messageOf(error)})`;
    this.#status = { ...this.#status, sealing: false, problems: [] };
    this.#options.logger.error(
      { err: error },
      'the thread that seals the decision log failed and is started again',
    );
    const { restartMs = 1000 } = this.#options;
    this.#again(writer, Math.min(MAX_RESTART_MS, restartMs * 2 ** Math.min(this.#crashes, 10)));
    this.#crashes++;
    this.restarts++;
  }

  #again(writer: SealedWriter, ms: number): void {
    this.#timer = setTimeout(() => this.#begin(writer), ms).unref();
  }
}

/** Apart from the writer's lock: sealing goes on after the writer has let the log go. */
function lockFor(dir: string): DirLock {
  const keys = join(dir, 'keys');
  makeFolder(NODE_SEAL_FS, keys);
  return lockDir(keys);
}
