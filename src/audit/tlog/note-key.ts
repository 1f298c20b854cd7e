import { createPrivateKey, createPublicKey, generateKeyPairSync, hash, type KeyObject } from 'node:crypto';
import { decodeBase64 } from './text-codec.ts';
import { TlogError } from './tlog-error.ts';

/** Signature type of plain Ed25519 signatures (C2SP signed-note, "Signature types"). */
const ED25519_TYPE = 0x01;
const PUBLIC_KEY_BYTES = 32;
/** Unicode spaces (Go's `unicode.IsSpace`), control characters and `+`. */
const NOT_IN_NAMES = /[\p{White_Space}\p{Cc}+]/u;

/** A key that signatures of a note are checked with. */
export interface VerifierKey {
  /** Key name: of a log, its origin. */
  readonly name: string;
  /** Key ID: the first four bytes of SHA-256(name || 0x0A || 0x01 || public key), big-endian. */
  readonly id: number;
  /** The Ed25519 public key. */
  readonly publicKey: KeyObject;
}

/** A key that notes are signed with. */
export interface SigningKey extends VerifierKey {
  /** The Ed25519 private key. */
  readonly privateKey: KeyObject;
}

/** Whether a text can name a key: not empty, without Unicode spaces, control characters and `+` (C2SP signed-note, "Format"). */
export function isKeyName(name: string): boolean {
  return name !== '' && name.isWellFormed() && !NOT_IN_NAMES.test(name);
}

function rawPublicKey(key: KeyObject): Buffer {
  const { x } = key.export({ format: 'jwk' });
  return Buffer.from(x ?? '', 'base64url');
}

function typedKey(raw: Uint8Array): Buffer {
  return Buffer.concat([Buffer.of(ED25519_TYPE), raw]);
}

function keyId(name: string, raw: Uint8Array): number {
  return hash('sha256', Buffer.concat([Buffer.from(`${name}\n`), typedKey(raw)]), 'buffer').readUInt32BE(0);
}

function verifierKey(name: string, publicKey: KeyObject): VerifierKey {
  if (!isKeyName(name)) throw new TlogError('malformed', 'a key name is empty or has a space or a plus');
  return { name, id: keyId(name, rawPublicKey(publicKey)), publicKey };
}

function signingKey(name: string, privateKey: KeyObject): SigningKey {
  return { ...verifierKey(name, createPublicKey(privateKey)), privateKey };
}

/**
 * A new Ed25519 key with this name.
 * @throws TlogError `malformed`: no such name is allowed.
 */
export function generateSigningKey(name: string): SigningKey {
  return signingKey(name, generateKeyPairSync('ed25519').privateKey);
}

/**
 * Reads a private key (PEM, PKCS #8, not encrypted).
 * @throws TlogError `malformed`: not such a key, not Ed25519, or no such name is allowed.
 */
export function signingKeyFromPem(name: string, pem: string | Buffer): SigningKey {
  let key: KeyObject;
  try {
    key = createPrivateKey({ key: pem, format: 'pem' });
  } catch {
    // What the library says may quote the key.
    throw new TlogError('malformed', 'not a private key in PEM form');
  }
  if (key.asymmetricKeyType !== 'ed25519') throw new TlogError('malformed', 'the private key is not Ed25519');
  return signingKey(name, key);
}

/** The private key as PEM (PKCS #8): for a file that only its owner may read. */
export function signingKeyPem(key: SigningKey): string {
  return key.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
}

/** A key ID as eight hexadecimal digits. */
export function keyIdText(id: number): string {
  return id.toString(16).padStart(8, '0');
}

/** The vkey text of a key: `<name>+<key ID>+<base64(0x01 || public key)>`, without a newline. */
export function verifierKeyText(key: VerifierKey): string {
  return `${key.name}+${keyIdText(key.id)}+${typedKey(rawPublicKey(key.publicKey)).toString('base64')}`;
}

/**
 * Reads a vkey text; one newline at its end is allowed, as files have it.
 * @throws TlogError `malformed`: not of that form, not Ed25519, or the key ID is not the key's.
 */
export function parseVerifierKey(text: string): VerifierKey {
  const line = text.endsWith('\n') ? text.slice(0, -1) : text;
  const [, name = '', id = '', encoded = ''] = /^([^+]+)\+([0-9a-f]{8})\+(.+)$/u.exec(line) ?? [];
  const key = decodeBase64(encoded);
  if (key?.length !== PUBLIC_KEY_BYTES + 1 || key[0] !== ED25519_TYPE) {
    throw new TlogError('malformed', 'not the verifier key of an Ed25519 key');
  }
  const x = key.subarray(1).toString('base64url');
  const parsed = verifierKey(
    name,
    createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x }, format: 'jwk' }),
  );
  if (keyIdText(parsed.id) !== id) throw new TlogError('malformed', 'the key ID is not that of the key');
  return parsed;
}
