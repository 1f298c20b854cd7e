import { userInfo } from 'node:os';
import { messageOf } from '../../pdp/errors.ts';
import { leaveNote } from '../log/inbox.ts';

/** Who has read a log, and what of it. */
export interface Reading {
  /** As it was typed, e.g. `audit query`. */
  readonly verb: string;
  /** What was asked for, as it was written. */
  readonly filter?: string;
  /** Id of the decision that was looked at. */
  readonly id?: string;
  /** How many records came of it. */
  readonly records: number;
  /** Whether later records were read too, as they came. */
  readonly follow?: true;
}

const MAX_FILTER = 500;

/**
 * Asks the process that writes the log to record that it was read (PCI DSS 10.2.1.3). Gives the words to tell where that cannot be: the folder
 * is read-only, or not ours.
 */
export function noteReading(dir: string, { verb, filter, id, records, follow }: Reading): string | undefined {
  const cut = filter === '' ? undefined : filter?.toWellFormed().slice(0, MAX_FILTER);
  try {
    leaveNote(dir, 'log_read', { verb, os_user: osUser(), filter: cut, id, records, follow });
    return undefined;
  } catch (error) {
    return `this reading is not recorded in the log: ${messageOf(error)}`;
  }
}

function osUser(): string {
  try {
    return userInfo().username;
  } catch {
    // The user of a container need not have a name.
    return `uid ${process.getuid?.() ?? '?'}`;
  }
}
