import type { LogRecord } from '../read/decision-record.ts';
import { isClosedBelow, segmentsOnDisk } from './segments-on-disk.ts';
import { compressFile } from './compress-file.ts';
import { type Pruning, nextPruning, prune, undeliveredFrom } from './retention.ts';
import type { SealFs } from './seal-fs.ts';
import type { Announce, SealSettings } from './seal-messages.ts';

/** Pause between looks at the folder where no segment was closed, in ms. */
const LOOK_EVERY_MS = 60_000;

/** How far the log has come. */
export interface UpkeepProgress {
  /** Records that are sealed. */
  readonly sealed: number;
  /** First index of the segment in use. */
  readonly open: number;
  /** Unix ms. */
  readonly now: number;
}

/** What {@link Upkeep} needs. */
export interface UpkeepOptions {
  readonly settings: Pick<SealSettings, 'dir' | 'compress' | 'retention' | 'sinks'>;
  readonly fs: SealFs;
  readonly announce: Announce;
}

/** Removes and compresses closed segments. */
export class Upkeep {
  readonly #options: UpkeepOptions;
  #looked: { readonly open: number; readonly sealed: boolean; readonly at: number } | undefined;
  #progress: UpkeepProgress | undefined;
  #pruning: (Pruning & { readonly since: number }) | undefined;
  /** Whether the log says that it goes. */
  #recorded = false;
  #job: Generator<void, void> | undefined;

  constructor(options: UpkeepOptions) {
    this.#options = options;
  }

  /** A record that says what is removed. */
  found({ to }: LogRecord): void {
    if (this.#pruning?.to === to) this.#recorded = true;
  }

  /** Looks for what is to be done, after a checkpoint was published. Throws the system's error. */
  look(progress: UpkeepProgress): void {
    this.#progress = progress;
    if (this.#pruning !== undefined) return this.#pruneIfRecorded(this.#pruning, progress);
    const sealed = progress.sealed >= progress.open;
    const before = this.#looked;
    const isDue = before === undefined || Math.abs(progress.now - before.at) >= LOOK_EVERY_MS;
    if (!isDue && before.open === progress.open && before.sealed === sealed) return;
    this.#looked = { open: progress.open, sealed, at: progress.now };
    this.#planPruning(progress);
    if (this.#options.settings.compress) this.#job ??= this.#compressAll();
  }

  /** Does some tens of ms of compressing; false: there is nothing to do. Throws the system's error. */
  step(): boolean {
    if (this.#job === undefined) return false;
    try {
      if (this.#job.next().done) this.#job = undefined;
    } catch (error) {
      this.#job = undefined;
      throw error;
    }
    return this.#job !== undefined;
  }

  /** Leaves nothing half done. */
  stop(): void {
    this.#job?.return();
    this.#job = undefined;
  }

  /** The record goes first: the log says what is missing before it is. */
  #planPruning({ sealed, open, now }: UpkeepProgress): void {
    const { settings, announce } = this.#options;
    const keepFrom = undeliveredFrom(settings.dir, settings.sinks);
    const pruning = nextPruning(settings.dir, settings.retention, { sealed, open, now, keepFrom });
    if (pruning === undefined) return;
    this.#pruning = { ...pruning, since: now };
    this.#recorded = false;
    const { to, bytes, root } = pruning;
    // From the first record on: what said that those before are gone may itself go with this.
    announce('pruned', { from: 0, to, bytes, root }).catch(() => {
      this.#pruning = undefined;
    });
  }

  /** Only once its record is sealed; a record that never comes was lost, as the log says itself, and is asked for again. */
  #pruneIfRecorded(pruning: Pruning & { readonly since: number }, { now }: UpkeepProgress): void {
    if (!this.#recorded && Math.abs(now - pruning.since) < LOOK_EVERY_MS) return;
    this.#pruning = undefined;
    this.#looked = undefined;
    if (!this.#recorded) return;
    // What is being compressed may be what goes.
    this.stop();
    prune(this.#options.settings.dir, pruning, this.#options.fs);
  }

  /** One file after the other, those that are closed meanwhile included. */
  *#compressAll(): Generator<void, void> {
    for (let path = this.#nextToCompress(); path !== undefined; path = this.#nextToCompress())
      yield* compressFile(path, this.#options.fs);
  }

  #nextToCompress(): string | undefined {
    const { sealed = 0, open = 0 } = this.#progress ?? {};
    return segmentsOnDisk(this.#options.settings.dir)
      .filter((segment) => isClosedBelow(segment, sealed, open))
      .flatMap(({ files }) => files)
      .find((file) => !file.endsWith('.gz'));
  }
}
