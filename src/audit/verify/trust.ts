import { readFileSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { messageOf } from '../../pdp/errors.ts';
import {
  type EpochCertificate,
  type SealedCheckpoint,
  openEpochCertificate,
  openSealedCheckpoint,
} from '../tlog/epoch.ts';
import { type VerifierKey, parseVerifierKey } from '../tlog/note-key.ts';
import { MAX_NOTE_BYTES } from '../tlog/note.ts';
import { TlogError } from '../tlog/tlog-error.ts';
import { isRefusal } from '../read/segment-source.ts';

/** Whose signatures count in a log. */
export interface LogTrust {
  /** The long-lived key; its name is the log's. */
  readonly identity: VerifierKey;
  /** Where the identity key is from: who checks has brought it, or it is the folder's own, and then proves only that the log agrees with itself. */
  readonly from: 'given' | 'folder';
  /** Certificates that the identity key has signed. */
  readonly epochs: readonly EpochCertificate[];
  /** Certificates that it has not, or that make no sense. */
  readonly refused: readonly { readonly file: string; readonly message: string }[];
}

const EPOCH_NAME = /^epoch-[0-9]+\.note$/;

/**
 * What the keys of a log folder are worth under the identity key that is given, else under the folder's own. `undefined`: none is
 * given and the folder has none.
 * @throws TlogError `malformed`: the folder's own identity key is none.
 */
export function logTrust(dir: string, given?: VerifierKey): LogTrust | undefined {
  const identity = given ?? ownIdentity(dir);
  if (identity === undefined) return undefined;
  const epochs: EpochCertificate[] = [];
  const refused: { file: string; message: string }[] = [];
  for (const name of epochNames(dir)) {
    try {
      epochs.push(openEpochCertificate(textIfThere(join(dir, 'keys', name)) ?? '', identity));
    } catch (error) {
      if (isRefusal(error)) throw error;
      refused.push({ file: `keys/${name}`, message: messageOf(error) });
    }
  }
  return { identity, from: given === undefined ? 'folder' : 'given', epochs, refused };
}

/** The text of the folder's own identity key; `undefined`: it has none. */
export function ownIdentity(dir: string): VerifierKey | undefined {
  const text = textIfThere(join(dir, 'keys', 'identity.vkey'));
  return text === undefined ? undefined : parseVerifierKey(text);
}

/** Names of the folder's epoch certificates. */
export function epochNames(dir: string): readonly string[] {
  try {
    return readdirSync(join(dir, 'keys')).filter((name) => EPOCH_NAME.test(name));
  } catch (error) {
    if (isRefusal(error)) throw error;
    return [];
  }
}

/** The newest checkpoint of a log, with the note that it came in. */
export interface SealedHead {
  readonly note: string;
  readonly checkpoint: SealedCheckpoint;
}

/**
 * The newest checkpoint of a log; `undefined`: it has none.
 * @throws TlogError it is malformed, or nobody who is trusted has signed it.
 */
export function sealedHead(dir: string, trust: LogTrust): SealedHead | undefined {
  const note = checkpointNote(dir);
  return note === undefined ? undefined : { note, checkpoint: openUnder(trust, note) };
}

/** The note of the newest checkpoint; `undefined`: there is none. */
export function checkpointNote(dir: string): string | undefined {
  return textIfThere(join(dir, 'checkpoint'));
}

/**
 * Opens a checkpoint under what is trusted.
 * @throws TlogError
 */
export function openUnder(trust: LogTrust, note: string): SealedCheckpoint {
  if (trust.epochs.length === 0)
    throw new TlogError('untrusted', 'the identity key vouches for none of the keys that sign checkpoints');
  return openSealedCheckpoint(note, trust.epochs, trust.identity.name);
}

function textIfThere(path: string): string | undefined {
  try {
    // Before it is read: what is no note may be without an end.
    const found = statSync(path);
    if (!found.isFile() || found.size > MAX_NOTE_BYTES)
      throw new TlogError('malformed', `${path} is no note: it has ${found.size} bytes, or is no file`);
    return readFileSync(path, 'utf8');
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw error;
  }
}
