import type { AttributeValue } from './attribute.ts';

/**
 * One entry of the state that all replicas share. Of two entries with one key the greater (`rank`, then `at`, then the bytes of
 * `value`, then the later expiry) stays, whatever the order in which they come: replicas that saw the same entries hold the same state.
 */
export interface SharedEntry {
  /** `<use>|<key of its subject>`, the use being one word, such as `void` or `grant`. At most 1024 bytes. */
  readonly key: string;
  /** Decides before time does: an end that is final outranks what may still change. */
  readonly rank: number;
  /** Unix ms of what the entry says, by the clock of the writer: at most 5 minutes ahead of ours, for it would win over all that come after it. */
  readonly at: number;
  /** Unix ms from which on nobody needs the entry. Absent: it stays until it is overwritten. */
  readonly expiresAt?: number;
  /** At most 8 KiB as JSON. */
  readonly value: AttributeValue;
}

/** What a put is for. */
export interface PutOptions {
  /** It takes access away: it may use the last tenth of the room, which is kept for that, lest a flood of anything else keeps revocations out. */
  readonly restricts?: boolean;
}

/**
 * State that all replicas share, held whole in the memory of each: reads never wait. In Redis, or embedded in one process. Survives
 * lost connections, missed messages, and a Redis that has forgotten everything: what replicas know goes back there.
 */
export interface SharedState extends AsyncDisposable {
  /**
   * Writes entries (at most 1000, and 1 MiB), all of them or none, and takes them in. Resolves when they are as durable as configured; a replica that reads later sees them.
   * Rejects with `PdpError` `state_unavailable` where that cannot be had: then they may or may not have been taken.
   */
  put(entries: readonly SharedEntry[], options?: PutOptions): Promise<void>;
  /** The entry in force; `undefined` where there is none or it has expired. */
  get(key: string): SharedEntry | undefined;
  /** All entries in force whose key begins so; the prefix must end with `|` or go beyond it. */
  list(prefix: string): readonly SharedEntry[];
  /** Told of each entry that comes into force here, whoever wrote it, after `get` knows it. Must not throw. */
  onChange(listener: (entry: SharedEntry) => void): Disposable;
  /** Ms for which entries of others may have been missed; 0 while connected and up to date, `Infinity` as long as nothing was ever read. */
  lagMs(): number;
}
