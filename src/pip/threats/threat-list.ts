import { InputError, PdpError, messageOf } from '../../pdp/errors.ts';
import type { Log } from '../../pdp/log.ts';
import type { Clock } from '../../pdp/ports.ts';
import { pauseMs } from '../../pdp/retry-pause.ts';
import { type EntrySet, type ListReading, readEntrySet } from './entry-set.ts';
import type { ListAnswer, ListSource } from './list-source.ts';
import { createSlices } from './slices.ts';

/** Settings of {@link openThreatList}. */
export interface ThreatListOptions {
  /** Name of the list, which becomes a member of `threats`. */
  readonly name: string;
  readonly source: ListSource;
  /** How its entries are read. */
  readonly reading: Omit<ListReading, 'where'>;
  /** Ms between looks; after a failure a second, which doubles up to this. */
  readonly refreshMs: number;
  /** Ms after the last confirmation for which the list may be used. */
  readonly maxAgeMs: number;
  /** Whether a list that cannot be had at the start fails the start. */
  readonly required: boolean;
  readonly clock: Clock;
  readonly log: Log;
}

/** One list, kept as its source has it. */
export interface ThreatList extends Disposable {
  readonly name: string;
  /** The list as it may be used now; `PdpError` `attribute_unavailable` where it was not confirmed for too long, or never. */
  current(): ConfirmedList;
  /** Unix ms at which the source last had the version in use, however long ago that is; 0: never. */
  confirmedAt(): number;
}

/** A version of a list that its source has confirmed. */
export interface ConfirmedList {
  readonly set: EntrySet;
  /** Unix ms of the confirmation: the source had this version then. */
  readonly confirmedAt: number;
  /** Unix ms until which the version may be used. */
  readonly usableUntil: number;
}

const FIRST_RETRY_MS = 1_000;

/**
 * Opens a list and keeps it fresh: a new version is read beside the one in use and takes its place at once, or is refused whole and
 * logged. Rejects with `InputError` where the list is required and cannot be had at the start.
 */
export async function openThreatList(options: ThreatListOptions): Promise<ThreatList> {
  const { name, refreshMs, clock, log } = options;
  const closing = new AbortController();
  const versions = new Versions(options, closing.signal);
  let timer: NodeJS.Timeout | undefined;
  let failures = 0;
  let told: string | undefined;
  let isToldOver = false;
  const look = async (): Promise<void> => {
    try {
      await versions.look();
      if (told !== undefined)
        log.info({ list: name, where: options.source.where }, 'list is confirmed again');
      failures = 0;
      told = undefined;
      isToldOver = false;
    } catch (error) {
      if (closing.signal.aborted) return;
      failures += 1;
      const problem = messageOf(error);
      if (problem !== told)
        log.error({ list: name, where: options.source.where, problem }, 'list kept as it was');
      told = problem;
      const over = isToldOver ? undefined : problemOf(() => usable(options, versions, clock));
      if (over !== undefined) log.error({ list: name, problem: over }, 'list may not be used: lookups fail');
      isToldOver ||= over !== undefined;
    }
  };
  const goOn = (): void => {
    if (closing.signal.aborted) return;
    const pause = pauseMs(Math.min(FIRST_RETRY_MS, refreshMs), refreshMs, failures);
    timer = setTimeout(() => void look().then(goOn), pause).unref();
  };
  if (options.required) await versions.look().catch((error: unknown) => refuse(options, error));
  else await look();
  goOn();
  return {
    name,
    current: () => usable(options, versions, clock),
    confirmedAt: () =>
      versions.confirmed === undefined ? 0 : clock.now() - (clock.monotonic() - versions.confirmed),
    [Symbol.dispose]() {
      closing.abort();
      clearTimeout(timer);
    },
  };
}

/** What is known of a list: the version in use, and the last one that was seen, which may have been refused. */
class Versions {
  set: EntrySet | undefined;
  /** Monotonic ms at which the source was asked that last had the version in use. */
  confirmed: number | undefined;
  #seen: { readonly validator: string | undefined; readonly problem?: unknown } | undefined;
  readonly #options: ThreatListOptions;
  readonly #closing: AbortSignal;

  constructor(options: ThreatListOptions, closing: AbortSignal) {
    this.#options = options;
    this.#closing = closing;
  }

  /** Looks for a newer version. Rejects where the source has none that can be used. */
  async look(): Promise<void> {
    const { source, clock } = this.#options;
    const asked = clock.monotonic();
    const answer = await source.fetch(this.#seen?.validator, this.#closing);
    if (answer.kind === 'changed') await this.#take(answer);
    else if (this.#seen?.problem !== undefined) throw this.#seen.problem;
    this.confirmed = asked;
  }

  async #take({ text, validator }: Extract<ListAnswer, { kind: 'changed' }>): Promise<void> {
    const { name, source, reading, log } = this.#options;
    try {
      this.set = await readEntrySet({ ...reading, where: source.where }, text, createSlices(this.#closing));
    } catch (problem) {
      this.#seen = { validator, problem };
      throw problem;
    }
    this.#seen = { validator };
    const { entries, bytes } = this.set;
    log.info({ list: name, where: source.where, entries, bytes }, 'list changed');
  }
}

function usable(
  { name, maxAgeMs }: ThreatListOptions,
  { set, confirmed }: Versions,
  clock: Clock,
): ConfirmedList {
  if (set === undefined || confirmed === undefined)
    throw new PdpError('attribute_unavailable', `list '${name}' has never been had`);
  // By the monotonic clock: a wall clock that is set back must not make a list fresh again.
  const ageMs = clock.monotonic() - confirmed;
  if (ageMs > maxAgeMs) {
    const seconds = Math.floor(ageMs / 1_000);
    throw new PdpError('attribute_unavailable', `list '${name}' was last confirmed ${seconds} s ago`);
  }
  const confirmedAt = clock.now() - ageMs;
  return { set, confirmedAt, usableUntil: confirmedAt + maxAgeMs };
}

function problemOf(use: () => unknown): string | undefined {
  try {
    use();
    return undefined;
  } catch (error) {
    return messageOf(error);
  }
}

function refuse({ name, source }: ThreatListOptions, error: unknown): never {
  const problems =
    error instanceof InputError ? error.problems : [{ where: source.where, message: messageOf(error) }];
  throw new InputError(`the list '${name}' cannot be used`, problems);
}
