import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type SigningKey, type VerifierKey, parseVerifierKey, verifierKeyText } from '../tlog/note-key.ts';
import { makeIdentityKey, readIdentityKey } from './identity-key.ts';
import { NODE_SEAL_FS, type SealFs, writeDurably } from './seal-fs.ts';
import { SealRefused } from './seal-refused.ts';

/** Where a log and the key that vouches for it are. */
export interface LogIdentity {
  readonly dir: string;
  /** Name of the log. */
  readonly origin: string;
  /** The long-lived private key. It is only read when an epoch begins, so it may be taken away in between. */
  readonly identityFile: string;
}

/** Path of the verifier key of a log. */
export function identityVkeyPath(dir: string): string {
  return join(dir, 'keys', 'identity.vkey');
}

/**
 * Makes sure, before anything is served, that the identity key can be used, and makes one for a log that never had one. Throws `InputError`. A log
 * whose key is missing is not given another: that is for the sealer to complain about, while decisions go on.
 */
export function prepareIdentity({ dir, origin, identityFile }: LogIdentity): void {
  if (readIdentityKey(identityFile, origin) !== undefined || existsSync(identityVkeyPath(dir))) return;
  makeIdentityKey(identityFile, origin);
}

/** The verifier key of a log: of its folder, and of the identity file where there is one. Throws {@link SealRefused} where they differ. */
export function verifierOf(
  { dir, origin, identityFile }: LogIdentity,
  fs: SealFs = NODE_SEAL_FS,
): VerifierKey {
  const path = identityVkeyPath(dir);
  const recorded = existsSync(path) ? parseRecorded(path) : undefined;
  const own = readIdentityKey(identityFile, origin);
  if (recorded === undefined && own === undefined)
    throw new SealRefused(`${identityFile}, the identity key of the log, is not there`);
  if (recorded !== undefined && recorded.name !== origin)
    throw new SealRefused(`${path} is of the log '${recorded.name}', not of '${origin}'`);
  if (recorded !== undefined && own !== undefined && verifierKeyText(recorded) !== verifierKeyText(own))
    throw new SealRefused(
      `${identityFile} is not the key that this log began with (${path}): restore that key, or configure another folder`,
    );
  const verifier = recorded ?? own;
  if (verifier === undefined) throw new SealRefused('no identity key');
  if (recorded === undefined) writeDurably(fs, [vkeyFile(path, verifier)]);
  return verifier;
}

/** The identity key to sign with. Throws `InputError`, and {@link SealRefused} where it is not that of the log. */
export function signerOf({ origin, identityFile }: LogIdentity, verifier: VerifierKey): SigningKey {
  const key = readIdentityKey(identityFile, origin);
  if (key === undefined) throw new SealRefused(`${identityFile}, the identity key of the log, is not there`);
  if (verifierKeyText(key) !== verifierKeyText(verifier))
    throw new SealRefused(`${identityFile} is not the key that this log began with`);
  return key;
}

function vkeyFile(path: string, key: VerifierKey) {
  return { path, bytes: Buffer.from(`${verifierKeyText(key)}\n`), mode: 0o644 };
}

function parseRecorded(path: string): VerifierKey {
  try {
    return parseVerifierKey(readFileSync(path, 'utf8'));
  } catch (error) {
    throw new SealRefused(`${path} is no verifier key`, { cause: error });
  }
}
