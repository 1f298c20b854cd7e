import { sign, verify } from 'node:crypto';
import { isKeyName, type SigningKey, type VerifierKey } from './note-key.ts';
import { decodeBase64 } from './text-codec.ts';
import { TlogError } from './tlog-error.ts';

/** Most bytes of a note that is opened. */
export const MAX_NOTE_BYTES = 1_000_000;

/** Most signature lines of a note that is opened. */
export const MAX_NOTE_SIGNATURES = 100;

const SIGNATURE_PREFIX = '— ';
const KEY_ID_BYTES = 4;
// eslint-disable-next-line no-control-regex -- the format forbids exactly these
const CONTROL_CHARACTER = /[\u0000-\u0009\u000b-\u001f]/;

/** A note of which a trusted key has vouched for the text. */
export interface OpenedNote {
  /** The signed text, with its final newline. */
  readonly text: string;
  /** The trusted keys whose signatures are on it and right: at least one. */
  readonly signers: readonly VerifierKey[];
}

interface Signature {
  readonly name: string;
  readonly id: number;
  readonly bytes: Buffer;
}

/**
 * Signs a text: the note's text, a blank line, and a signature line per key (C2SP signed-note v1).
 * @throws RangeError a note cannot carry this text, or there is no key.
 */
export function signNote(text: string, keys: readonly SigningKey[]): string {
  if (!text.endsWith('\n') || CONTROL_CHARACTER.test(text) || !text.isWellFormed()) {
    throw new RangeError('the text of a note ends in a newline and has no other control character');
  }
  if (keys.length === 0) throw new RangeError('a note needs a key that signs it');
  return `${text}\n${keys.map((key) => signatureLine(text, key)).join('')}`;
}

function signatureLine(text: string, key: SigningKey): string {
  const bytes = Buffer.alloc(KEY_ID_BYTES);
  bytes.writeUInt32BE(key.id);
  const signature = Buffer.concat([bytes, sign(null, Buffer.from(text), key.privateKey)]);
  return `${SIGNATURE_PREFIX}${key.name} ${signature.toString('base64')}\n`;
}

/**
 * Opens a note: gives its text when at least one of `trusted` has signed it. Signatures of other keys are ignored; one of a
 * trusted key that is wrong refuses the whole note.
 * @throws TlogError `malformed` (also: too long, too many signatures) or `untrusted`.
 */
export function openNote(note: Uint8Array | string, trusted: readonly VerifierKey[]): OpenedNote {
  const { text, signatures } = splitNote(noteText(note));
  const signed = Buffer.from(text);
  const signers = trusted.filter((key) => isSignedBy(signed, signatures, key));
  if (signers.length === 0) throw new TlogError('untrusted', 'the note has no signature of a trusted key');
  return { text, signers };
}

function isSignedBy(signed: Uint8Array, signatures: readonly Signature[], key: VerifierKey): boolean {
  const own = signatures.filter(({ name, id }) => name === key.name && id === key.id);
  if (!own.every(({ bytes }) => verify(null, signed, key.publicKey, bytes))) {
    throw new TlogError('untrusted', 'a signature under the name and ID of a trusted key is wrong');
  }
  return own.length > 0;
}

function noteText(note: Uint8Array | string): string {
  if (note.length > MAX_NOTE_BYTES) throw new TlogError('malformed', 'the note is too long');
  const text = typeof note === 'string' ? note : decodeUtf8(note);
  if (CONTROL_CHARACTER.test(text) || !text.isWellFormed()) {
    throw new TlogError('malformed', 'the note has control characters or is not UTF-8');
  }
  return text;
}

function decodeUtf8(bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw new TlogError('malformed', 'the note is not UTF-8');
  }
}

function splitNote(note: string): { text: string; signatures: Signature[] } {
  const blank = note.lastIndexOf('\n\n');
  const lines = note.slice(blank + 2).split('\n');
  if (blank < 0 || lines.pop() !== '' || lines.length === 0 || lines.length > MAX_NOTE_SIGNATURES) {
    throw new TlogError('malformed', 'a note is a text, a blank line and signature lines');
  }
  return { text: note.slice(0, blank + 1), signatures: lines.map(parseSignature) };
}

function parseSignature(line: string): Signature {
  const [name = '', encoded = '', ...rest] = line.slice(SIGNATURE_PREFIX.length).split(' ');
  const bytes = decodeBase64(encoded);
  const good = line.startsWith(SIGNATURE_PREFIX) && isKeyName(name) && rest.length === 0;
  if (!good || bytes === undefined || bytes.length <= KEY_ID_BYTES) {
    throw new TlogError('malformed', 'a signature line is malformed');
  }
  return { name, id: bytes.readUInt32BE(0), bytes: bytes.subarray(KEY_ID_BYTES) };
}
