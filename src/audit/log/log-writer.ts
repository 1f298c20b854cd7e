import {
  type ControlFields,
  type ControlKind,
  ERASURE_BEGUN,
  bootFields,
  controlLine,
} from '../record/control-record.ts';
import { type DirLock, lockDir } from './dir-lock.ts';
import { LineEncoder } from './line-encoder.ts';
import { type LogFs, NODE_LOG_FS } from './log-fs.ts';
import type { Batch } from './batch.ts';
import type { LogWriterOptions } from './log-writer-options.ts';
import { type Loss, addLoss, lossFields, noLoss } from '../record/loss.ts';
import { type Recovered, recover } from './recovery.ts';
import { PackWriter } from './pack-writer.ts';
import { OpenSegment } from './segments.ts';
import { CommitPosition } from './commit-position.ts';
import type { Blob } from '../record/blob.ts';
import type { SubjectRef } from '../../pdp/subject-key.ts';

/** The one ordered writer of a decision log. Disposing it writes what waits, a `shutdown` record, and gives the directory back. */
export interface LogWriter extends AsyncDisposable {
  /** Origin name of the log. */
  readonly log: string;
  /**
   * Appends one record. `makeLine` gives the line, without line feed, for the index that the record gets; it may be asked
   * again where an earlier record failed. `blobs`: what the line refers to. Resolves as the durability says; rejects when the record is not
   * in the log.
   */
  append(makeLine: (index: number) => string, blobs?: readonly Blob[]): Promise<void>;
  /**
   * Appends a control record, in order with the others. Needs at least one field. `about`: the subjects that it is about. Resolves and rejects as
   * `append` does. An erasure that begins also begins a new segment, so that everything before it is closed.
   */
  appendControl(kind: ControlKind, fields: ControlFields, about?: readonly SubjectRef[]): Promise<void>;
  /** Whether the last write succeeded. */
  readonly healthy: boolean;
  /** Why records were lost, until one is written again. */
  readonly lastError: Error | undefined;
  /** Index of the next record to be written. */
  readonly nextIndex: number;
  /** Records that did not get into the log, in this run. */
  readonly lost: number;
  /** How far the files are final, for other threads. */
  readonly committed: CommitPosition;
  /** Begins a new segment with the next record, so that all others are closed. */
  rotate(): void;
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

const DONE = Promise.resolve();

class SegmentedLogWriter implements LogWriter {
  readonly log: string;
  lastError: Error | undefined;
  readonly #options: LogWriterOptions;
  readonly #lock: DirLock;
  readonly #segment: OpenSegment;
  readonly #pack = new PackWriter();
  readonly #encoder = new LineEncoder();
  readonly committed = new CommitPosition();
  lost = 0;
  #next: number;
  #rotate = false;
  /** Lines written that wait for `fdatasync`. */
  #inFlight = 0;
  #syncing: Promise<void> | undefined;
  #batch: Batch | undefined;
  #loss: Loss | undefined;
  #retry: NodeJS.Timeout | undefined;
  #disposing: Promise<void> | undefined;

  constructor(options: LogWriterOptions, fs: LogFs, lock: DirLock, recovered: Recovered) {
    const { dir, segmentBytes = 256 * 1024 * 1024, segmentMs = 3_600_000 } = options;
    this.log = options.log;
    this.#options = options;
    this.#lock = lock;
    this.#next = recovered.nextIndex;
    const syncDir = options.durability === 'synced';
    const holdDir = () => lock.hold();
    const rules = { dir, fs, segmentBytes, segmentMs, syncDir, holdDir };
    this.#segment = new OpenSegment(rules, recovered.position, options.clock.now());
    this.#publish();
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

  append(makeLine: (index: number) => string, blobs?: readonly Blob[]): Promise<void> {
    if (this.#disposing !== undefined) return Promise.reject(new Error('the decision log is closed'));
    try {
      return this.#queue(makeLine, blobs);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  appendControl(kind: ControlKind, fields: ControlFields, about: readonly SubjectRef[] = []): Promise<void> {
    const said = this.#options.privacy?.(kind, fields, about) ?? { fields, blobs: [] };
    const json = JSON.stringify(said.fields).slice(1, -1);
    if (kind === 'erased' && fields['state'] === ERASURE_BEGUN) this.rotate();
    return this.append((index) => this.#control(kind, index, json), said.blobs);
  }

  rotate(): void {
    this.#rotate = true;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#disposing ??= this.#dispose();
    await this.#disposing;
  }

  #queue(makeLine: (index: number) => string, blobs: readonly Blob[] = []): Promise<void> {
    const batch = this.#batch ?? this.#newBatch();
    const line = makeLine(batch.firstIndex + batch.lines.length);
    if (batch.size + line.length > (this.#options.maxQueue ?? 32 * 1024 * 1024)) {
      throw this.#lose(1, new Error('too many records wait for the disk', { cause: 'queue_full' }));
    }
    batch.lines.push(line);
    batch.makers.push(makeLine);
    if (blobs.length > 0) batch.blobs.push(...blobs);
    batch.size += line.length;
    return batch.done?.promise ?? DONE;
  }

  /**
   * A batch is what one turn of the event loop appends: `setImmediate` runs after the turn's reads and their promise jobs, so
   * a burst of checks costs one `write(2)`. A microtask would run too early, once for each check.
   */
  #newBatch(): Batch {
    const batch = { firstIndex: this.#next + this.#inFlight, lines: [], makers: [], blobs: [], size: 0 };
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
      this.#write(lines, batch?.blobs ?? []);
      if (this.#options.durability === 'synced') this.#syncing = this.#sync(batch, loss, lines.length);
      else this.#succeeded(batch, loss, lines.length);
    } catch (error) {
      this.#failed(batch, loss, error);
    }
  }

  #write(lines: readonly string[], blobs: readonly Blob[]): void {
    const now = this.#options.clock.now();
    if (this.#rotate) this.#segment.retire();
    this.#rotate = false;
    if (this.#segment.retireIfDue(now)) this.#pack.begin();
    const missing = this.#pack.missing(blobs);
    if (missing) {
      this.#segment.appendPack(this.#encoder.encode(missing.lines), this.#next, now);
      missing.written();
    }
    this.#segment.appendLines(this.#encoder.encode(lines), this.#next, now);
  }

  #publish(): void {
    const { firstIndex = -1, sizes } = this.#segment;
    this.committed.publish({
      segment: firstIndex,
      lineBytes: sizes.lines,
      packBytes: sizes.pack,
      nextIndex: this.#next,
    });
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
      await this.#segment.sync();
      this.#inFlight = 0;
      this.#succeeded(batch, loss, count);
    } catch (error) {
      this.#inFlight = 0;
      this.#segment.rollBack();
      this.#pack.begin();
      this.#failed(batch, loss, error);
    }
    this.#syncing = undefined;
    if (this.#batch !== undefined) this.#flush();
  }

  #succeeded(batch: Batch | undefined, loss: Loss | undefined, count: number): void {
    this.#next += count;
    this.#publish();
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
    this.lost += count;
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
      if (this.lastError === undefined) await this.#segment.sync();
    } catch (error) {
      this.#lose(0, error);
    } finally {
      this.#close();
    }
  }

  #close(): void {
    clearTimeout(this.#retry);
    this.#segment.close();
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
