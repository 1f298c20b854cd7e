import { HASH_BYTES } from './hash.ts';
import type { SigningKey, VerifierKey } from './note-key.ts';
import { openNote, signNote } from './note.ts';
import { decodeBase64, parseDecimal } from './text-codec.ts';
import { TlogError } from './tlog-error.ts';

const TIME_PREFIX = 'time ';

/** A tree head of a log (C2SP tlog-checkpoint). */
export interface Checkpoint {
  /** Which log: the first line. */
  readonly origin: string;
  /** Number of leaves. */
  readonly size: number;
  /** Root of the tree of that size. */
  readonly root: Uint8Array;
  /** When it was made, in milliseconds since 1970: our extension line `time <ms>`. Absent in notes of other logs. */
  readonly time?: number;
}

/** A checkpoint with who has vouched for it. */
export interface OpenedCheckpoint extends Checkpoint {
  /** The trusted keys whose signatures are on it. */
  readonly signers: readonly VerifierKey[];
}

/**
 * Text of a checkpoint, before it is signed: origin, size, base64 root, and the time where there is one.
 * @throws RangeError the origin or a number cannot be written.
 */
export function formatCheckpoint({ origin, size, root, time }: Checkpoint): string {
  const numbers = [size, time ?? 0];
  if (
    origin === '' ||
    origin.includes('\n') ||
    !numbers.every((each) => Number.isSafeInteger(each) && each >= 0)
  ) {
    throw new RangeError('a checkpoint has an origin of one line, and a size and a time of whole numbers');
  }
  if (root.length !== HASH_BYTES) throw new RangeError('a root has 32 bytes');
  const lines = [origin, String(size), Buffer.from(root).toString('base64')];
  if (time !== undefined) lines.push(`${TIME_PREFIX}${time}`);
  return `${lines.join('\n')}\n`;
}

/**
 * Reads the text of a checkpoint. Unknown extension lines are ignored, as they are opaque.
 * @throws TlogError `malformed`.
 */
export function parseCheckpoint(text: string): Checkpoint {
  const lines = text.split('\n');
  const last = lines.pop();
  const [origin = '', sizeText = '', rootText = '', ...extensions] = lines;
  const size = parseDecimal(sizeText);
  const root = decodeBase64(rootText);
  if (last !== '' || lines.includes('') || size === undefined || root?.length !== HASH_BYTES) {
    throw new TlogError('malformed', 'not a checkpoint: origin, size and root on a line each');
  }
  const time = timeOf(extensions);
  return { origin, size, root, ...(time === undefined ? {} : { time }) };
}

function timeOf(extensions: readonly string[]): number | undefined {
  const [line, ...more] = extensions.filter((each) => each.startsWith(TIME_PREFIX));
  if (line === undefined) return undefined;
  const time = parseDecimal(line.slice(TIME_PREFIX.length));
  if (time === undefined || more.length > 0)
    throw new TlogError('malformed', 'the time of a checkpoint is malformed');
  return time;
}

/**
 * Makes a checkpoint's signed note; while a key takes over from another, both sign.
 * @throws RangeError it cannot be written, or there is no key.
 */
export function signCheckpoint(checkpoint: Checkpoint, keys: readonly SigningKey[]): string {
  return signNote(formatCheckpoint(checkpoint), keys);
}

/**
 * Opens a checkpoint's signed note.
 * @throws TlogError `malformed`; `untrusted`: no trusted key has signed it, or it is another log's.
 */
export function openCheckpoint(
  note: Uint8Array | string,
  trusted: readonly VerifierKey[],
  origin: string,
): OpenedCheckpoint {
  const { text, signers } = openNote(note, trusted);
  const checkpoint = parseCheckpoint(text);
  if (checkpoint.origin !== origin) throw new TlogError('untrusted', 'the checkpoint is that of another log');
  return { ...checkpoint, signers };
}
