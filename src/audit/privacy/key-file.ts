import { createHmac, randomBytes } from 'node:crypto';
import {
  closeSync,
  existsSync,
  fstatSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { InputError, messageOf } from '../../pdp/errors.ts';
import { readNotes, writeNotes } from '../log/notes-file.ts';

const MIN_BYTES = 32;
const MAX_BYTES = 4096;

/** Where the key of the pseudonyms is, and which one it is. */
export interface KeyFile {
  readonly path: string;
  readonly epoch: number;
}

/**
 * The key of the pseudonyms. It is made where it is not there and the log was never written with a key of this epoch; a log that was goes on with
 * that very key or not at all, since names under another one could neither be compared nor erased. Throws `InputError`.
 */
export function openPrivacyKey(dir: string, { path, epoch }: KeyFile): Buffer {
  const notes = join(dir, 'privacy.json');
  const known = readNotes(notes);
  const used = known[String(epoch)];
  if (used === undefined && !existsSync(path)) makeKey(path);
  const key = readPrivacyKey(path);
  const fingerprint = fingerprintOf(key);
  if (used !== undefined && used !== fingerprint)
    throw refused(
      path,
      `is not the key that epoch ${epoch} of this log began with: restore that one, or set the next key_epoch`,
    );
  if (used === undefined) writeNotes(notes, { ...known, [String(epoch)]: fingerprint });
  return key;
}

/** Reads a key: 32 bytes or more, of which nobody but the owner may read any. Throws `InputError`. */
export function readPrivacyKey(path: string): Buffer {
  const { key, mode } = readWithMode(path);
  if ((mode & 0o077) !== 0) throw refused(path, 'can be read by others: chmod 600');
  if (key.length < MIN_BYTES || key.length > MAX_BYTES)
    throw refused(path, `holds ${key.length} bytes; a key has ${MIN_BYTES} to ${MAX_BYTES}, random ones`);
  return key;
}

function readWithMode(path: string): { readonly key: Buffer; readonly mode: number } {
  try {
    const fd = openSync(path, 'r');
    try {
      const { mode, size } = fstatSync(fd);
      return { key: size > MAX_BYTES ? Buffer.alloc(MAX_BYTES + 1) : readFileSync(fd), mode };
    } finally {
      closeSync(fd);
    }
  } catch (error) {
    throw refused(path, `cannot be read (${messageOf(error)})`);
  }
}

function makeKey(path: string): void {
  try {
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    const fd = openSync(path, 'wx', 0o600);
    try {
      writeFileSync(fd, randomBytes(MIN_BYTES));
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
  } catch (error) {
    throw refused(path, `cannot be made (${messageOf(error)})`);
  }
}

/** Tells keys apart; of a random key nothing follows from it. */
function fingerprintOf(key: Buffer): string {
  return createHmac('sha256', key).update('fingerprint').digest('base64url');
}

function refused(path: string, message: string): InputError {
  return new InputError('the key of the pseudonyms cannot be used:', [{ where: path, message }]);
}
