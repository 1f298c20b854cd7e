import type { Log } from '../../pdp/log.ts';
import type { Clock } from '../../pdp/ports.ts';
import { type ControlFields, type ControlKind, bootFields, controlLine } from '../record/control-record.ts';
import { type DirLock, lockDir } from './dir-lock.ts';
import { LineEncoder } from './line-encoder.ts';
import { type LogFs, NODE_LOG_FS } from './log-fs.ts';
import { type Loss, addLoss, lossFields, noLoss } from '../record/loss.ts';
import { type Recovered, recover } from './recovery.ts';
import { SegmentFile } from './segments.ts';

/**
 * When an append is done: at once (`async`: a crash of the process may lose the last records), when the bytes are with the
 * kernel (`written`: survives the process), or when they are on the medium (`synced`: survives the machine).
 */
export type Durability = 'async' | 'written' | 'synced';

/** What a log writer needs. */
export interface LogWriterOptions {
  /** Directory of the segments; made when it is not there. */
  readonly dir: string;
  /** Origin name of the log; every record carries it. */
  readonly log: string;
  readonly durability: Durability;
  readonly clock: Clock;
  readonly logger: Log;
  /** Names of the surfaces that take any caller, for the `boot` record. */
  readonly plaintext: readonly string[];
  /** Size at which a new segment begins. Default 256 MiB. */
  readonly segmentBytes?: number;
  /** UTF-16 units of lines that may wait for the disk; more are refused. Default 32 Mi. */
  readonly maxQueue?: number;
  /** Milliseconds after which an unhealthy writer tries by itself, so that a replica without traffic heals too. Default 1000. */
  readonly retryMs?: number;
  readonly fs?: LogFs;
}

/** The one ordered writer of a decision log. Disposing it writes what waits, a `shutdown` record, and gives the directory back. */
export interface LogWriter extends AsyncDisposable {
  /** Origin name of the log. */
  readonly log: string;
  /**
   * Appends one record. `makeLine` gives the line, without line feed, for the index that the record gets; it may be asked
   * again where an earlier record failed. Resolves as the durability says; rejects when the record is not in the log.
   */
  append(makeLine: (index: number) => string): Promise<void>;
  /** Appends a control record, in order with the others. Needs at least one field. Resolves and rejects as `append` does. */
  appendControl(kind: ControlKind, fields: ControlFields): Promise<void>;
  /** Whether the last write succeeded. */
  readonly healthy: boolean;
  /** Why records were lost, until one is written again. */
  readonly lastError: Error | undefined;
  /** Index of the next record to be written. */
  readonly nextIndex: number;
}

/**
 * Opens the log in a directory: takes the directory's lock, cuts a torn tail, goes on with the next index, and writes a
 * `recovered` record (where something was cut) and a `boot` record. Rejects where any of this fails.
 */
export async function openLogWriter(options: LogWriterOptions): Promise<LogWriter> {
  const fs = options.fs ?? NODE_LOG_FS;
  fs.makeDir(options.dir);
  const lock = lockDir(options.dir);
  const recovered = recoverOrRelease(options, fs, lock);
  const writer = new SegmentedLogWriter(options, fs, lock, recovered);
  await writer.boot(recovered);
  return writer;
}

function recoverOrRelease({ dir, log }: LogWriterOptions, fs: LogFs, lock: DirLock): Recovered {
  try {
    return recover(dir, log, fs);
  } catch (error) {
    lock.release();
    throw error;
  }
}

/** Lines that go out together and share one fate. */
interface Batch {
  /** Index that the first line was made for. */
  readonly firstIndex: number;
  readonly lines: string[];
  readonly makers: ((index: number) => string)[];
  size: number;
  /** Absent with `async`, where nobody waits. */
  readonly done?: PromiseWithResolvers<void>;
}

const DONE = Promise.resolve();

class SegmentedLogWriter implements LogWriter {
  readonly log: string;
  lastError: Error | undefined;
  readonly #options: LogWriterOptions;
  readonly #lock: DirLock;
  readonly #file: SegmentFile;
  readonly #encoder = new LineEncoder();
  #next: number;
  /** Lines written that wait for `fdatasync`. */
  #inFlight = 0;
  #syncing: Promise<void> | undefined;
  #batch: Batch | undefined;
  #loss: Loss | undefined;
  #retry: NodeJS.Timeout | undefined;
  #disposing: Promise<void> | undefined;

  constructor(options: LogWriterOptions, fs: LogFs, lock: DirLock, recovered: Recovered) {
    const { dir, segmentBytes = 256 * 1024 * 1024 } = options;
    this.log = options.log;
    this.#options = options;
    this.#lock = lock;
    this.#next = recovered.nextIndex;
    const syncDir = options.durability === 'synced';
    const holdDir = () => lock.hold();
    this.#file = new SegmentFile({ dir, fs, segmentBytes, syncDir, holdDir }, recovered.position);
  }

  get healthy(): boolean {
    return this.lastError === undefined;
  }

  get nextIndex(): number {
    return this.#next;
  }

  /** Writes the first records of this run. */
  async boot({ droppedBytes, previousRun }: Recovered): Promise<void> {
    if (droppedBytes > 0) {
      this.#options.logger.error(
        { droppedBytes },
        'cut an unfinished record off the end of the decision log',
      );
      // It shares the batch, and so the fate, of the `boot` record.
      void this.#queue((index) => this.#control('recovered', index, `"bytes_dropped":${droppedBytes}`));
    }
    const fields = bootFields({ ...this.#options, previousRun });
    const queued = this.#queue((index) => this.#control('boot', index, fields));
    try {
      await Promise.all([queued, this.#settle()]);
      if (this.lastError !== undefined) throw this.lastError;
    } catch (error) {
      this.#disposing = Promise.resolve();
      this.#close();
      throw error;
    }
  }

  append(makeLine: (index: number) => string): Promise<void> {
    if (this.#disposing !== undefined) return Promise.reject(new Error('the decision log is closed'));
    try {
      return this.#queue(makeLine);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  appendControl(kind: ControlKind, fields: ControlFields): Promise<void> {
    const json = JSON.stringify(fields).slice(1, -1);
    return this.append((index) => this.#control(kind, index, json));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#disposing ??= this.#dispose();
    await this.#disposing;
  }

  #queue(makeLine: (index: number) => string): Promise<void> {
    const batch = this.#batch ?? this.#newBatch();
    const line = makeLine(batch.firstIndex + batch.lines.length);
    if (batch.size + line.length > (this.#options.maxQueue ?? 32 * 1024 * 1024)) {
      throw this.#lose(1, new Error('too many records wait for the disk', { cause: 'queue_full' }));
    }
    batch.lines.push(line);
    batch.makers.push(makeLine);
    batch.size += line.length;
    return batch.done?.promise ?? DONE;
  }

  /**
   * A batch is what one turn of the event loop appends: `setImmediate` runs after the turn's reads and their promise jobs, so
   * a burst of checks costs one `write(2)`. A microtask would run too early, once for each check.
   */
  #newBatch(): Batch {
    const batch = { firstIndex: this.#next + this.#inFlight, lines: [], makers: [], size: 0 };
    this.#batch =
      this.#options.durability === 'async' ? batch : { ...batch, done: Promise.withResolvers<void>() };
    if (this.#syncing === undefined) setImmediate(() => this.#flush());
    return this.#batch;
  }

  #flush(): void {
    if (this.#syncing !== undefined) return;
    const batch = this.#batch;
    this.#batch = undefined;
    const loss = this.#loss;
    if ((batch === undefined || batch.lines.length === 0) && loss === undefined) return;
    // What is lost while this write is under way is not in its gap record.
    this.#loss = undefined;
    try {
      const lines = this.#linesToWrite(batch, loss);
      this.#file.append(this.#encoder.encode(lines), this.#next);
      if (this.#options.durability === 'synced') this.#syncing = this.#sync(batch, loss, lines.length);
      else this.#succeeded(batch, loss, lines.length);
    } catch (error) {
      this.#failed(batch, loss, error);
    }
  }

  /** The lines of a batch under the indexes they really get, after the record of what was lost before them. */
  #linesToWrite(batch: Batch | undefined, loss: Loss | undefined): readonly string[] {
    const lead = loss === undefined ? [] : [this.#control('gap', this.#next, lossFields(loss))];
    const first = this.#next + lead.length;
    if (batch === undefined) return lead;
    const lines = batch.firstIndex === first ? batch.lines : batch.makers.map((make, i) => make(first + i));
    return lead.length === 0 ? lines : [...lead, ...lines];
  }

  /** Group commit: one `fdatasync` at a time; what arrives meanwhile is the next group. */
  async #sync(batch: Batch | undefined, loss: Loss | undefined, count: number): Promise<void> {
    this.#inFlight = count;
    try {
      await this.#file.sync();
      this.#inFlight = 0;
      this.#succeeded(batch, loss, count);
    } catch (error) {
      this.#inFlight = 0;
      this.#file.rollBack();
      this.#failed(batch, loss, error);
    }
    this.#syncing = undefined;
    if (this.#batch !== undefined) this.#flush();
  }

  #succeeded(batch: Batch | undefined, loss: Loss | undefined, count: number): void {
    this.#next += count;
    if (this.lastError !== undefined) {
      this.#options.logger.info({ lost: loss?.count }, 'the decision log can be written again');
    }
    this.lastError = undefined;
    batch?.done?.resolve();
  }

  #failed(batch: Batch | undefined, before: Loss | undefined, reason: unknown): void {
    const later = this.#loss;
    this.#loss = before;
    const error = this.#lose((batch?.lines.length ?? 0) + (later?.count ?? 0), reason);
    this.#retry ??= setTimeout(() => {
      this.#retry = undefined;
      this.#flush();
    }, this.#options.retryMs ?? 1000).unref();
    batch?.done?.reject(error);
  }

  /** Counts lost records and says so once for each outage. */
  #lose(count: number, reason: unknown): Error {
    const error = reason instanceof Error ? reason : new Error(String(reason));
    if (this.lastError === undefined) {
      this.#options.logger.error({ err: error }, 'the decision log cannot be written');
    }
    this.lastError = error;
    this.#loss = addLoss(this.#loss ?? noLoss(this.#options.clock.now()), count, error);
    return error;
  }

  #control(kind: ControlKind, index: number, fields: string): string {
    return controlLine({ kind, log: this.log, index, now: this.#options.clock.now(), fields });
  }

  async #dispose(): Promise<void> {
    try {
      await this.#settle();
      this.#queue((index) => this.#control('shutdown', index, `"pid":${process.pid}`)).catch(() => undefined);
      await this.#settle();
      if (this.lastError === undefined) await this.#file.sync();
    } catch (error) {
      this.#lose(0, error);
    } finally {
      this.#close();
    }
  }

  #close(): void {
    clearTimeout(this.#retry);
    this.#file.close();
    this.#lock.release();
  }

  /** Writes what waits. */
  async #settle(): Promise<void> {
    do {
      await this.#syncing;
      this.#flush();
    } while (this.#syncing !== undefined || this.#batch !== undefined);
  }
}
