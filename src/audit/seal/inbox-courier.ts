import { rmSync } from 'node:fs';
import { basename } from 'node:path';
import { type InboxNote, readInbox } from '../log/inbox.ts';
import type { LogRecord } from '../read/decision-record.ts';
import type { Announce } from './seal-messages.ts';

/**
 * Takes the notes of other processes to the log, each once: its record says which note it was, and a note is removed as soon as its record is
 * in the log. A record that an earlier run was killed right after is found among those that it had not sealed.
 */
export class InboxCourier {
  readonly #dir: string;
  readonly #announce: Announce;
  /** Paths of notes on their way, or recorded and not removed yet. */
  readonly #taken = new Set<string>();
  readonly #recorded = new Set<string>();

  constructor(dir: string, announce: Announce) {
    this.#dir = dir;
    this.#announce = announce;
  }

  /** A record of an earlier run that was not sealed by it. */
  found({ note_id: id }: LogRecord): void {
    if (typeof id === 'string') this.#recorded.add(id);
  }

  /** Takes the notes that are there. Throws the system's error. */
  deliver(): void {
    for (const note of readInbox(this.#dir)) this.#deliver(note);
    this.#recorded.clear();
  }

  #deliver({ path, kind, fields }: InboxNote): void {
    if (this.#taken.has(path)) return;
    const id = basename(path, '.json');
    if (this.#recorded.has(id)) return rmSync(path, { force: true });
    this.#taken.add(path);
    this.#announce(kind, { ...fields, note_id: id }).then(
      () => this.#remove(path),
      // Said by the log itself; the note stays for the next round.
      () => void this.#taken.delete(path),
    );
  }

  #remove(path: string): void {
    try {
      rmSync(path, { force: true });
      this.#taken.delete(path);
    } catch {
      // It stays, known as taken, so that it is not recorded twice.
    }
  }
}
