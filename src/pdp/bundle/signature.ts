import { createHash, createPrivateKey, createPublicKey, type KeyObject, sign, verify } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { InputError } from '../errors.ts';
import { refusal, SIGNATURE_PATH } from './policy-path.ts';

/** Keeps a signature made here from being one of anything else that the key signs. */
const DOMAIN = 'cedar-pdp policy manifest v1\n';

/** Names a public key: the first 16 hex digits of the SHA-256 of its SPKI form. Takes the public or the private key. */
export function keyIdOf(key: KeyObject): string {
  const spki = publicKeyOf(key).export({ type: 'spki', format: 'der' });
  return createHash('sha256').update(spki).digest('hex').slice(0, 16);
}

/** The text of `manifest.sig`: key id, space, base64 of the Ed25519 signature (RFC 8032), newline. */
export function signManifest(manifest: Buffer, privateKey: KeyObject): string {
  assertEd25519(privateKey);
  return `${keyIdOf(privateKey)} ${sign(null, signedBytes(manifest), privateKey).toString('base64')}\n`;
}

/**
 * Verifies the signature of the exact manifest bytes and returns the id of the key that made it. Without public keys nothing is
 * demanded and nothing is claimed: `undefined`.
 *
 * Throws `InputError` where keys are given and the manifest is unsigned, signed by another key, or does not fit its signature.
 */
export function verifyManifest(
  manifest: Buffer,
  signature: Buffer | undefined,
  publicKeys: readonly KeyObject[],
): string | undefined {
  for (const key of publicKeys) assertEd25519(key);
  if (publicKeys.length === 0) return undefined;
  if (!signature) throw refused('is missing, and only signed policies are taken: a public key is configured');
  const { keyId, value } = parseSignature(signature);
  const keys = publicKeys.filter((key) => keyIdOf(key) === keyId);
  if (keys.length === 0)
    throw refused(`is by the key ${keyId}, which is not among the keys taken: ${keyIds(publicKeys)}`);
  if (!keys.some((key) => verify(null, signedBytes(manifest), key, value)))
    throw refused(`is not a signature of this manifest by the key ${keyId}`);
  return keyId;
}

/** Reads an Ed25519 private key from a PEM file (PKCS #8). Throws `InputError` where there is none. */
export function readSigningKey(file: string): KeyObject {
  return readKey(file, 'private', createPrivateKey);
}

/** Reads an Ed25519 public key from a PEM file (SPKI). Throws `InputError` where there is none, or a private key instead. */
export function readVerifyingKey(file: string): KeyObject {
  return readKey(file, 'public', (pem) => {
    // `createPublicKey` would take a private key too, and hide that it lies where it should not.
    if (!pem.includes('-----BEGIN PUBLIC KEY-----')) throw new Error('no PEM block "PUBLIC KEY"');
    return createPublicKey(pem);
  });
}

function readKey(file: string, kind: 'public' | 'private', parse: (pem: string) => KeyObject): KeyObject {
  let key: KeyObject;
  try {
    key = parse(readFileSync(file, 'utf8'));
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? ` (${String(error.code)})` : '';
    const message = `cannot be read as a ${kind} key in PEM form${code}`;
    throw new InputError('the key cannot be used:', [{ where: file, message }]);
  }
  if (key.asymmetricKeyType === 'ed25519') return key;
  const message = `holds a key of type ${key.asymmetricKeyType}; policies are signed with Ed25519`;
  throw new InputError('the key cannot be used:', [{ where: file, message }]);
}

function parseSignature(signature: Buffer): { readonly keyId: string; readonly value: Buffer } {
  const [, keyId, text] = /^([0-9a-f]{16}) ([A-Za-z0-9+/]{86}==)\n$/.exec(signature.toString('latin1')) ?? [];
  if (keyId === undefined || text === undefined)
    throw refused('is not of the form "<key id> <base64 of the Ed25519 signature>"');
  const value = Buffer.from(text, 'base64');
  if (value.toString('base64') !== text) throw refused('is not canonical base64');
  return { keyId, value };
}

function signedBytes(manifest: Buffer): Buffer {
  return Buffer.concat([Buffer.from(DOMAIN), manifest]);
}

function publicKeyOf(key: KeyObject): KeyObject {
  return key.type === 'private' ? createPublicKey(key) : key;
}

function keyIds(keys: readonly KeyObject[]): string {
  return keys.map(keyIdOf).join(', ');
}

function assertEd25519(key: KeyObject): void {
  if (key.asymmetricKeyType !== 'ed25519') throw new TypeError('policies are signed with Ed25519 keys');
}

function refused(message: string): InputError {
  return refusal({ where: SIGNATURE_PATH, message });
}
