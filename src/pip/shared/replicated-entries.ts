import { PdpError, messageOf } from '../../pdp/errors.ts';
import type { Log } from '../../pdp/log.ts';
import type { Clock } from '../../pdp/ports.ts';
import type { PutOptions, SharedEntry, SharedState } from '../../pdp/shared-state.ts';
import { MAX_AHEAD_MS, expiryOf, outranks, readEntry } from './entry.ts';

/** Settings of {@link ReplicatedEntries}. */
export interface EntriesOptions {
  readonly clock: Clock;
  readonly log: Log;
  /** Entries that may be held at once before more are refused; see {@link roomFor}. */
  readonly maxEntries: number;
}

/** What one put may hold, so that it is one line of a journal and one short script. */
const MAX_PUT_ENTRIES = 1_000;
const MAX_PUT_BYTES = 1_024 * 1_024;

/** Of the entries that may be held, how many there may be once a put is taken: a tenth is left to what takes access away. */
export function roomFor(maxEntries: number, { restricts = false }: PutOptions = {}): number {
  return restricts ? maxEntries : maxEntries - Math.floor(maxEntries / 10);
}

/** What is told of a put that there is no room for. */
export function fullProblem(maxEntries: number, { restricts = false }: PutOptions = {}): string {
  const kept = restricts ? '' : ', a tenth of it kept for what takes access away';
  return `it holds all the entries that it may (max_entries: ${maxEntries}${kept})`;
}

/** A put that cannot be had. */
export function refusedPut(problem: string): PdpError {
  return new PdpError('state_unavailable', `shared state: ${problem}`);
}

/**
 * Entries in memory, merged by {@link outranks}. Nothing is ever pushed out: an entry goes when a greater one of its key comes, or when it has
 * expired by the wall clock. An expired entry is as good as none: anything that has not expired takes its place.
 */
export class ReplicatedEntries implements Pick<SharedState, 'get' | 'list' | 'onChange'> {
  readonly #options: EntriesOptions;
  readonly #byUse = new Map<string, Map<string, SharedEntry>>();
  readonly #listeners = new Set<(entry: SharedEntry) => void>();
  #count = 0;
  /** No entry expires before; it may be earlier than the first that does. */
  #nextExpiry = Number.POSITIVE_INFINITY;

  constructor(options: EntriesOptions) {
    this.#options = options;
  }

  /** Entries held, those in force and a few that have expired lately. */
  get size(): number {
    this.#forgetExpired();
    return this.#count;
  }

  get(key: string): SharedEntry | undefined {
    const entry = this.#byUse.get(useOf(key))?.get(key);
    return entry !== undefined && this.#isInForce(entry) ? entry : undefined;
  }

  list(prefix: string): readonly SharedEntry[] {
    if (!prefix.includes('|')) throw new RangeError('the prefix of a list must name the use: `<use>|`');
    const listed: SharedEntry[] = [];
    for (const entry of this.#byUse.get(useOf(prefix))?.values() ?? [])
      if (entry.key.startsWith(prefix) && this.#isInForce(entry)) listed.push(entry);
    return listed;
  }

  onChange(listener: (entry: SharedEntry) => void): Disposable {
    // A function of its own for each call: one listener that is added twice is told twice, and taken away one by one.
    const own = (entry: SharedEntry): void => listener(entry);
    this.#listeners.add(own);
    return { [Symbol.dispose]: () => void this.#listeners.delete(own) };
  }

  /** All that is in force. */
  *all(): Generator<SharedEntry> {
    for (const entries of this.#byUse.values())
      for (const entry of entries.values()) if (this.#isInForce(entry)) yield entry;
  }

  /** The entries of a put as they are kept. Throws `PdpError` `state_unavailable` for what may not be put. */
  check(entries: readonly SharedEntry[]): readonly SharedEntry[] {
    if (entries.length > MAX_PUT_ENTRIES) throw refusedPut(`more than ${MAX_PUT_ENTRIES} entries in one put`);
    const latest = this.#options.clock.now() + MAX_AHEAD_MS;
    const kept = entries.map((given) => {
      const entry = readEntry(given);
      if ('problem' in entry) throw refusedPut(`an entry ${entry.problem}`);
      if (entry.at > latest)
        throw refusedPut('an entry is from more than 5 minutes ahead of the clock of this process');
      return entry;
    });
    if (Buffer.byteLength(JSON.stringify(kept)) > MAX_PUT_BYTES)
      throw refusedPut(`entries of more than ${MAX_PUT_BYTES} bytes in one put`);
    return kept;
  }

  /**
   * Says that there is no room for the entries beside those with the keys `added`; `undefined` where there is, and then their keys are
   * added. What replaces an entry needs no room.
   */
  roomProblem(entries: readonly SharedEntry[], added: Set<string>, options?: PutOptions): string | undefined {
    const { maxEntries } = this.#options;
    const keys = new Set(entries.map(({ key }) => key).filter((key) => !added.has(key) && !this.#holds(key)));
    if (keys.size > 0 && this.size + added.size + keys.size > roomFor(maxEntries, options))
      return fullProblem(maxEntries, options);
    for (const key of keys) added.add(key);
    return undefined;
  }

  /** Takes in what is greater than what is held, and tells the listeners once all of it is there. Returns what was taken. */
  merge(entries: Iterable<SharedEntry>): readonly SharedEntry[] {
    this.#forgetExpired();
    const taken: SharedEntry[] = [];
    for (const entry of entries) if (this.#take(entry)) taken.push(entry);
    for (const entry of taken) this.#tell(entry);
    return taken;
  }

  #holds(key: string): boolean {
    return this.#byUse.get(useOf(key))?.has(key) ?? false;
  }

  #isInForce(entry: SharedEntry): boolean {
    return expiryOf(entry) > this.#options.clock.now();
  }

  #take(entry: SharedEntry): boolean {
    if (!this.#isInForce(entry)) return false;
    const use = useOf(entry.key);
    const entries = this.#byUse.get(use) ?? new Map<string, SharedEntry>();
    const held = entries.get(entry.key);
    if (held !== undefined && this.#isInForce(held) && !outranks(entry, held)) return false;
    this.#byUse.set(use, entries.set(entry.key, entry));
    if (held === undefined) this.#count += 1;
    this.#nextExpiry = Math.min(this.#nextExpiry, expiryOf(entry));
    return true;
  }

  #tell(entry: SharedEntry): void {
    for (const listener of this.#listeners) {
      try {
        listener(entry);
      } catch (error) {
        this.#options.log.error(
          { problem: messageOf(error) },
          'a listener of the shared state failed, which it must not',
        );
      }
    }
  }

  /** Each look goes through everything, but there is one only where something has expired. */
  #forgetExpired(): void {
    const now = this.#options.clock.now();
    if (this.#nextExpiry > now) return;
    let next = Number.POSITIVE_INFINITY;
    for (const [use, entries] of this.#byUse) {
      for (const [key, entry] of entries) {
        const expiry = expiryOf(entry);
        if (expiry > now) next = Math.min(next, expiry);
        else if (entries.delete(key)) this.#count -= 1;
      }
      if (entries.size === 0) this.#byUse.delete(use);
    }
    // Entries that expire one by one must not cost a look each.
    this.#nextExpiry = Math.max(next, now + 1_000);
  }
}

function useOf(key: string): string {
  return key.slice(0, key.indexOf('|') + 1);
}
