import { openCheckpoint, type Checkpoint } from './checkpoint.ts';
import { parseVerifierKey, verifierKeyText, type SigningKey, type VerifierKey } from './note-key.ts';
import { openNote, signNote } from './note.ts';
import { parseDecimal } from './text-codec.ts';
import { TlogError } from './tlog-error.ts';

const HEADER = 'cedar-pdp epoch key v1';

/** What the identity key of a log says about a key that signs its checkpoints for a while. */
export interface EpochCertificate {
  /** Which log. */
  readonly origin: string;
  /** Number of the epoch. */
  readonly number: number;
  /** The epoch's key; its name is the origin. */
  readonly key: VerifierKey;
  /** From when on its signatures count, in milliseconds since 1970. */
  readonly notBefore: number;
  /** The last moment at which they count, in milliseconds since 1970. */
  readonly notAfter: number;
}

/** A checkpoint with the epochs that vouch for it. */
export interface SealedCheckpoint extends Checkpoint {
  readonly time: number;
  /** Certificates of the keys whose signatures are on it and that were valid at its time: at least one. */
  readonly epochs: readonly EpochCertificate[];
}

function formatCertificate({ origin, number, key, notBefore, notAfter }: EpochCertificate): string {
  const times = [notBefore, notAfter].map((time) => new Date(time).toISOString());
  return `${[HEADER, origin, String(number), verifierKeyText(key), ...times].join('\n')}\n`;
}

/**
 * Makes the certificate of an epoch key: a note that the identity key signs.
 * @throws RangeError the names differ from the origin, the number is none, or the times are none or in the wrong order.
 */
export function signEpochCertificate(certificate: EpochCertificate, identity: SigningKey): string {
  const { origin, number, key, notBefore, notAfter } = certificate;
  if (key.name !== origin || identity.name !== origin)
    throw new RangeError('the keys of a log have its origin as name');
  if (!Number.isSafeInteger(number) || number < 0 || !(notBefore < notAfter)) {
    throw new RangeError('an epoch has a whole number, and begins before it ends');
  }
  return signNote(formatCertificate(certificate), [identity]);
}

function parseTime(text: string): number {
  const time = Date.parse(text);
  const isExact = !Number.isNaN(time) && new Date(time).toISOString() === text;
  if (!isExact) throw new TlogError('malformed', 'a time of an epoch certificate is malformed');
  return time;
}

/**
 * Opens the certificate of an epoch key of the log that `identity` names.
 * @throws TlogError `malformed`; `untrusted`: the identity key has not signed it, or it is for another log.
 */
export function openEpochCertificate(note: Uint8Array | string, identity: VerifierKey): EpochCertificate {
  const { text } = openNote(note, [identity]);
  const [header, origin = '', numberText = '', vkey = '', from = '', until = '', ...rest] = text.split('\n');
  const number = parseDecimal(numberText);
  if (header !== HEADER || number === undefined || rest.length !== 1 || rest[0] !== '') {
    throw new TlogError('malformed', 'not an epoch certificate');
  }
  const key = parseVerifierKey(vkey);
  const certificate = { origin, number, key, notBefore: parseTime(from), notAfter: parseTime(until) };
  if (origin !== identity.name || key.name !== origin)
    throw new TlogError('untrusted', 'the certificate is for another log');
  if (certificate.notBefore >= certificate.notAfter)
    throw new TlogError('malformed', 'an epoch ends before it begins');
  return certificate;
}

/**
 * Opens a checkpoint under the epoch keys of a log: at least one of them has signed it and was valid at the time that the
 * checkpoint names. Give the certificates that {@link openEpochCertificate} has opened.
 * @throws TlogError `malformed` (also: no time) or `untrusted`.
 */
export function openSealedCheckpoint(
  note: Uint8Array | string,
  certificates: readonly EpochCertificate[],
  origin: string,
): SealedCheckpoint {
  const own = certificates.filter((each) => each.origin === origin);
  const keys = own.map(({ key }) => key);
  const { signers, time, ...head } = openCheckpoint(note, keys, origin);
  if (time === undefined) throw new TlogError('malformed', 'the checkpoint does not say when it was made');
  const epochs = own.filter(
    ({ key, notBefore, notAfter }) => signers.includes(key) && notBefore <= time && time <= notAfter,
  );
  if (epochs.length === 0)
    throw new TlogError('untrusted', 'the checkpoint is not of the time of the key that signed it');
  return { ...head, time, epochs };
}
