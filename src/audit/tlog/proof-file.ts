import type { Checkpoint } from './checkpoint.ts';
import { HASH_BYTES } from './hash.ts';
import { MAX_NOTE_BYTES } from './note.ts';
import { decodeBase64, parseDecimal } from './text-codec.ts';
import { TlogError } from './tlog-error.ts';
import { MAX_PROOF_HASHES, verifyInclusion } from './verify-proof.ts';

const HEADER = 'c2sp.org/tlog-proof@v1';
const EXTRA_PREFIX = 'extra ';
const INDEX_PREFIX = 'index ';

/** A proof that can be checked offline that a record is in a log (C2SP tlog-proof). */
export interface TlogProof {
  /** Data beside the proof. Nobody vouches for it. */
  readonly extra?: Uint8Array;
  /** Index of the record. */
  readonly index: number;
  /** Inclusion proof, the leaf's sibling first. */
  readonly hashes: readonly Uint8Array[];
  /** The signed note of the checkpoint, byte for byte. */
  readonly checkpoint: string;
}

/** Text of a proof, for a file `*.tlog-proof`. Extra data without a byte is left out. */
export function formatTlogProof({ extra, index, hashes, checkpoint }: TlogProof): string {
  const base64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64');
  const lines = [HEADER, ...(extra?.length ? [`${EXTRA_PREFIX}${base64(extra)}`] : [])];
  lines.push(`${INDEX_PREFIX}${index}`, ...hashes.map(base64), '');
  return `${lines.join('\n')}\n${checkpoint}`;
}

function malformed(what: string): TlogError {
  return new TlogError('malformed', `not a tlog-proof: ${what}`);
}

function parseHash(line: string): Buffer {
  const hash = decodeBase64(line);
  if (hash?.length !== HASH_BYTES) throw malformed('a hash is malformed');
  return hash;
}

function parseIndex(line: string | undefined): number {
  const index = line?.startsWith(INDEX_PREFIX) ? parseDecimal(line.slice(INDEX_PREFIX.length)) : undefined;
  if (index === undefined) throw malformed('the index is malformed');
  return index;
}

function takeExtra(lines: string[]): Buffer | undefined {
  if (!lines[0]?.startsWith(EXTRA_PREFIX)) return undefined;
  const extra = decodeBase64(lines.shift()?.slice(EXTRA_PREFIX.length) ?? '');
  if (extra === undefined) throw malformed('the extra data is malformed');
  return extra;
}

/**
 * Reads a proof. That its checkpoint is good is for whoever opens that; then {@link verifyTlogProof}.
 * @throws TlogError `malformed`.
 */
export function parseTlogProof(text: string): TlogProof {
  const blank = text.indexOf('\n\n');
  if (text.length > MAX_NOTE_BYTES || blank < 0) throw malformed('it is too long, or has no checkpoint');
  const lines = text.slice(0, blank).split('\n');
  if (lines.shift() !== HEADER) throw malformed('the first line is another');
  const extra = takeExtra(lines);
  const index = parseIndex(lines.shift());
  if (lines.length > MAX_PROOF_HASHES) throw malformed('it has too many hashes');
  const checkpoint = text.slice(blank + 2);
  return { ...(extra === undefined ? {} : { extra }), index, hashes: lines.map(parseHash), checkpoint };
}

/**
 * Whether a proof shows that the record with this leaf hash is in the log, given the checkpoint that was opened from the proof's
 * own note.
 */
export function verifyTlogProof(proof: TlogProof, leaf: Uint8Array, checkpoint: Checkpoint): boolean {
  return verifyInclusion(leaf, proof.index, checkpoint, proof.hashes);
}
