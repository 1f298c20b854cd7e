import { abortable } from '../../pdp/abortable.ts';
import { messageOf } from '../../pdp/errors.ts';
import type { PutOptions, SharedEntry, SharedState } from '../../pdp/shared-state.ts';
import { createOccasionally } from '../occasionally.ts';
import { type Journal, openJournal } from './journal.ts';
import { type EntriesOptions, ReplicatedEntries, refusedPut } from './replicated-entries.ts';

/** Settings of {@link openEmbeddedState}. */
export interface EmbeddedStateOptions extends EntriesOptions {
  /** File in which entries survive the process; without it they do not. */
  readonly journal?: string;
  /** Ms within which a put must be on the medium. */
  readonly timeoutMs: number;
  /** Told how many entries came into force; they are all of this process. */
  readonly onChanges?: (count: number, origin: 'own') => void;
  /** See `JournalOptions`. */
  readonly compactBytes?: number;
}

/** A disk that is full fails at each change, and transmitters send their events again and again. */
const COMPLAINT_MS = 10_000;

interface Waiting {
  readonly entries: readonly SharedEntry[];
  readonly options: PutOptions | undefined;
  readonly done: PromiseWithResolvers<void>;
}

/**
 * Opens the state of one process that shares it with nobody. With a journal, a put resolves when it is on the medium. Throws `InputError` for a
 * journal that cannot be read or written.
 */
export async function openEmbeddedState(
  options: EmbeddedStateOptions,
): Promise<SharedState & { readonly size: number }> {
  const entries = new ReplicatedEntries(options);
  const { journal: path, log, compactBytes } = options;
  if (path === undefined) return new EmbeddedState(entries, options, undefined);
  const journal = await openJournal({
    path,
    log,
    onEntries: (read) => void entries.merge(read),
    all: () => entries.all(),
    ...(compactBytes !== undefined && { compactBytes }),
  });
  return new EmbeddedState(entries, options, journal);
}

class EmbeddedState implements SharedState {
  readonly #entries: ReplicatedEntries;
  readonly #options: EmbeddedStateOptions;
  readonly #journal: Journal | undefined;
  readonly #occasionally: (say: () => void) => void;
  #queue: Waiting[] = [];
  #writing = Promise.resolve();
  #isWriting = false;
  #closed = false;

  constructor(entries: ReplicatedEntries, options: EmbeddedStateOptions, journal: Journal | undefined) {
    this.#entries = entries;
    this.#options = options;
    this.#journal = journal;
    this.#occasionally = createOccasionally(options.clock, COMPLAINT_MS);
  }

  get size(): number {
    return this.#entries.size;
  }

  async put(given: readonly SharedEntry[], options?: PutOptions): Promise<void> {
    const entries = this.#entries.check(given);
    if (this.#closed) throw refusedPut('it is closed');
    if (this.#queue.length >= this.#options.maxEntries) throw refusedPut('too many puts wait');
    const done = Promise.withResolvers<void>();
    this.#queue.push({ entries, options, done });
    if (!this.#isWriting) this.#writing = this.#write();
    const timeout = AbortSignal.timeout(this.#options.timeoutMs);
    await abortable(done.promise, timeout).catch((error: unknown) => {
      throw timeout.aborted ? refusedPut('the journal did not take the entries in time') : error;
    });
  }

  /** Puts that come while others are being written are written together after these. */
  async #write(): Promise<void> {
    this.#isWriting = true;
    while (this.#queue.length > 0) {
      const waiting = this.#queue;
      this.#queue = [];
      const admitted = this.#admit(waiting);
      try {
        if (admitted.length > 0) await this.#journal?.append(admitted.map(({ entries }) => entries));
        const taken = this.#entries.merge(admitted.flatMap(({ entries }) => entries));
        if (taken.length > 0) this.#options.onChanges?.(taken.length, 'own');
        for (const { done } of admitted) done.resolve();
      } catch (error) {
        const problem = `the journal cannot be written: ${messageOf(error)}`;
        const { journal, log } = this.#options;
        this.#occasionally(() => log.error({ journal, problem }, 'changes of the shared state are refused'));
        for (const { done } of admitted) done.reject(refusedPut(problem));
      }
    }
    this.#isWriting = false;
  }

  /** The puts that there is room for, those before them counted; the others are told. */
  #admit(waiting: readonly Waiting[]): readonly Waiting[] {
    const added = new Set<string>();
    return waiting.filter(({ entries, options, done }) => {
      const problem = this.#entries.roomProblem(entries, added, options);
      if (problem !== undefined) done.reject(refusedPut(problem));
      return problem === undefined;
    });
  }

  get(key: string): SharedEntry | undefined {
    return this.#entries.get(key);
  }

  list(prefix: string): readonly SharedEntry[] {
    return this.#entries.list(prefix);
  }

  onChange(listener: (entry: SharedEntry) => void): Disposable {
    return this.#entries.onChange(listener);
  }

  lagMs(): number {
    return 0;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    await this.#writing;
    await this.#journal?.[Symbol.asyncDispose]();
  }
}
