import { type Stats, linkSync, readFileSync, statSync } from 'node:fs';
import { randomUUID } from 'node:crypto';
import { dirname } from 'node:path';
import { InputError, messageOf } from '../../pdp/errors.ts';
import { type SigningKey, generateSigningKey, signingKeyFromPem, signingKeyPem } from '../tlog/note-key.ts';
import { DRAFT, NODE_SEAL_FS, errorCode, makeFolder } from './seal-fs.ts';

/** Far more than the PEM of an Ed25519 key has. */
const MAX_BYTES = 16 * 1024;

/**
 * The long-lived key of a log, under the log's name; `undefined`: there is no such file. Throws `InputError` for a file that others than its
 * owner can read, or that is no Ed25519 key.
 */
export function readIdentityKey(file: string, origin: string): SigningKey | undefined {
  try {
    const stat = statSync(file);
    if (!stat.isFile() || stat.size > MAX_BYTES) throw refused(file, 'is not the file of a key');
    if (isExposed(stat))
      throw refused(
        file,
        `can be read by others than its owner (0${(stat.mode & 0o777).toString(8)}): chmod 600 it, and consider whether it was seen`,
      );
    return signingKeyFromPem(origin, readFileSync(file));
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return undefined;
    throw error instanceof InputError ? error : refused(file, messageOf(error));
  }
}

/** A file that is given to us through its group, as Kubernetes gives secrets, is not ours to change. */
function isExposed({ mode, uid }: Stats): boolean {
  const isGiven = uid !== process.getuid?.();
  return (mode & (isGiven ? 0o037 : 0o077)) !== 0;
}

/** Makes the key where the file is not there; of several who do so at once, one wins. Throws `InputError`. */
export function makeIdentityKey(file: string, origin: string): SigningKey {
  const draft = `${file}.${randomUUID()}${DRAFT}`;
  try {
    makeFolder(NODE_SEAL_FS, dirname(file));
    NODE_SEAL_FS.create(draft, Buffer.from(signingKeyPem(generateSigningKey(origin))), 0o600);
    linkUnlessThere(draft, file);
    NODE_SEAL_FS.syncFolder(dirname(file));
  } catch (error) {
    throw refused(file, `cannot be made: ${messageOf(error)}`);
  } finally {
    NODE_SEAL_FS.remove(draft);
  }
  const key = readIdentityKey(file, origin);
  if (key === undefined) throw refused(file, 'is gone again');
  return key;
}

function linkUnlessThere(from: string, to: string): void {
  try {
    linkSync(from, to);
  } catch (error) {
    if (errorCode(error) !== 'EEXIST') throw error;
  }
}

function refused(file: string, message: string): InputError {
  return new InputError('the identity key of the decision log (audit.keys.identity_file):', [
    { where: file, message },
  ]);
}
