import { InputError, messageOf } from '../../pdp/errors.ts';
import type { Clock } from '../../pdp/ports.ts';
import type { Committed } from '../log/commit-position.ts';
import { askedRecord } from './asked-record.ts';
import { EpochNews } from './epoch-news.ts';
import { InboxCourier } from './inbox-courier.ts';
import { NODE_SEAL_FS, type SealFs } from './seal-fs.ts';
import type { Announce, SealSettings, SealStatus } from './seal-messages.ts';
import { SealRefused } from './seal-refused.ts';
import { type Sealed, Sealer } from './sealer.ts';
import { Upkeep } from './upkeep.ts';

/** Pause in ms before it is looked again whether a log that was refused can be sealed: that may mean reading a whole segment. */
const RETRY_MS = 15_000;

/** How long, in ms, everything else waits at most where there is always more to seal. */
const OVERDUE_MS = 5000;

/** How far the newest checkpoint may be ahead of the clock, in ms, before that is said: clocks are set right by less. */
const AHEAD_MS = 60_000;

/** What {@link SealLoop} needs. */
export interface SealLoopOptions {
  readonly settings: SealSettings;
  readonly committed: () => Committed;
  readonly announce: Announce;
  readonly clock: Clock;
  readonly fs?: SealFs;
}

/** Seals a log, round after round, and looks after its folder. Whatever fails is said, and tried again. */
export class SealLoop {
  readonly #options: SealLoopOptions;
  readonly #fs: SealFs;
  readonly #inbox: InboxCourier;
  readonly #epochs: EpochNews;
  readonly #upkeep: Upkeep;
  #sealer: Sealer | undefined;
  #sealed: Sealed | undefined;
  #retryAt = Number.NEGATIVE_INFINITY;
  #refusal: string | undefined;
  #problems: string[] = [];
  #sealing = false;
  #uncompressed: string | undefined;
  /** Until all that earlier runs left is sealed, records that are read may be those that would be asked for. */
  #caughtUp = false;
  /** When everything but the sealing last had its turn, by the monotonic clock. */
  #lookedAt = Number.NEGATIVE_INFINITY;

  constructor(options: SealLoopOptions) {
    this.#options = options;
    this.#fs = options.fs ?? NODE_SEAL_FS;
    const { settings, announce } = options;
    this.#inbox = new InboxCourier(settings.dir, announce);
    this.#epochs = new EpochNews(announce);
    this.#upkeep = new Upkeep({ settings, fs: this.#fs, announce });
  }

  /** How it stands after the last round. */
  status(): SealStatus {
    const { size = 0, time = 0 } = this.#sealed ?? {};
    const problems =
      this.#uncompressed === undefined ? this.#problems : [...this.#problems, this.#uncompressed];
    return { size, time, sealing: this.#sealing, problems };
  }

  /** One round: seals, then does what else is due. True: more records wait already. */
  round(): boolean {
    this.#problems = [];
    const more = this.#seal();
    if (!more || this.#isOverdue()) this.#afterwards();
    return more;
  }

  /** Does some tens of ms of compressing; false: there is nothing to do. */
  step(): boolean {
    try {
      const more = this.#upkeep.step();
      if (more) this.#uncompressed = undefined;
      return more;
    } catch (error) {
      this.#uncompressed = `a closed segment of the decision log is not compressed: ${messageOf(error)}`;
      return false;
    }
  }

  /** Seals the rest, after the writer has closed the log, and keeps the last checkpoint. */
  finish(): void {
    this.#upkeep.stop();
    this.#problems = [];
    this.#retryAt = Number.NEGATIVE_INFINITY;
    while (this.#seal());
    this.#attempt('the last checkpoint is not kept', () => this.#sealer?.keepLast());
    this.#sealer?.close();
  }

  #seal(): boolean {
    this.#sealing = false;
    const sealer = this.#opened();
    if (sealer === undefined) return false;
    this.#attempt('no new key can sign the decision log', () => {
      const epoch = sealer.rotateIfDue();
      if (epoch) this.#epochs.began(epoch);
    });
    try {
      this.#sealed = sealer.seal();
      this.#sealing = true;
      this.#compareClock(this.#sealed);
      return this.#sealed.more;
    } catch (error) {
      this.#failed(sealer, error);
      return false;
    }
  }

  /** Checkpoints never say an earlier time than those before: one of a clock that was ahead holds all that follow. */
  #compareClock({ time }: Sealed): void {
    const ahead = time - this.#options.clock.now();
    if (ahead > AHEAD_MS)
      this.#problems.push(
        `the clock was ahead when the decision log was signed, or is behind now: until it is later than ${new Date(time).toISOString()}, all checkpoints say that time, and their key is not changed`,
      );
  }

  /** A log that is written faster than it can be sealed has always more: the rest must have its turn all the same. */
  #isOverdue(): boolean {
    return this.#caughtUp && this.#options.clock.monotonic() - this.#lookedAt > OVERDUE_MS;
  }

  /** What has nothing to do with decisions must not wait for what cannot be sealed either. */
  #afterwards(): void {
    this.#caughtUp ||= this.#sealing;
    this.#lookedAt = this.#options.clock.monotonic();
    this.#attempt('the inbox of the decision log cannot be read', () => this.#inbox.deliver());
    this.#epochs.tell();
    if (!this.#sealing || this.#sealed === undefined) return;
    const progress = {
      sealed: this.#sealed.size,
      open: this.#options.committed().segment,
      now: this.#options.clock.now(),
    };
    this.#attempt('old segments of the decision log cannot be removed', () => this.#upkeep.look(progress));
  }

  #opened(): Sealer | undefined {
    if (this.#sealer !== undefined) return this.#sealer;
    if (this.#options.clock.monotonic() >= this.#retryAt) this.#open();
    if (this.#refusal !== undefined) this.#problems.push(this.#refusal);
    return this.#sealer;
  }

  #open(): void {
    const { settings, committed, clock } = this.#options;
    const onLine = (line: Buffer) => this.#read(line);
    try {
      this.#sealer = new Sealer({ ...settings, committed, clock, fs: this.#fs, onLine });
      this.#refusal = undefined;
      if (!this.#sealer.isOwn) this.#epochs.began(this.#sealer.keys.running);
    } catch (error) {
      this.#refused(error);
    }
  }

  #refused(error: unknown): void {
    this.#retryAt = this.#options.clock.monotonic() + RETRY_MS;
    this.#refusal = `the decision log is not sealed: ${wordsOf(error)}`;
  }

  #failed(sealer: Sealer, error: unknown): void {
    if (error instanceof SealRefused) {
      sealer.close();
      this.#sealer = undefined;
      this.#refused(error);
    }
    const why = sealer.mediumFailed
      ? `records did not reach the medium (${wordsOf(error)}); look at the disk, then restart`
      : wordsOf(error);
    this.#problems.push(`the decision log is not sealed: ${why}`);
  }

  #read(line: Buffer): void {
    const record = askedRecord(line);
    if (record === undefined) return;
    if (record['kind'] === 'pruned') this.#upkeep.found(record);
    else if (record['kind'] === 'key_rotated') this.#epochs.found(record);
    else if (!this.#caughtUp) this.#inbox.found(record);
  }

  #attempt(what: string, action: () => void): void {
    try {
      action();
    } catch (error) {
      this.#problems.push(`${what}: ${wordsOf(error)}`);
    }
  }
}

function wordsOf(error: unknown): string {
  if (error instanceof InputError)
    return error.problems.map(({ where, message }) => `${where} ${message}`).join('; ');
  return messageOf(error);
}
