import { messageOf } from '../../pdp/errors.ts';
import { logSegments } from '../read/log-folder.ts';
import { tileFiles } from '../read/tile-files.ts';
import { leafHash } from '../tlog/hash.ts';
import type { VerifierKey } from '../tlog/note-key.ts';
import { inclusionProof } from '../tlog/proofs.ts';
import { TlogError } from '../tlog/tlog-error.ts';
import { verifyInclusion } from '../tlog/verify-proof.ts';
import { linesOf } from '../read/segment-source.ts';
import { type LogTrust, type SealedHead, logTrust, sealedHead } from './trust.ts';

/** What can be said of one record of a log. */
export interface RecordProof {
  /**
   * `proven`: the signed checkpoint holds exactly this line at this index. `not_sealed`: it is younger than the newest checkpoint.
   * `not_checkable`: there is no checkpoint, no key or no tile to check it with. `failed`: it is not what was signed.
   */
  readonly verdict: 'proven' | 'not_sealed' | 'not_checkable' | 'failed';
  /** In words, for operators. */
  readonly because: string;
  /** The checkpoint that it was checked under. */
  readonly sealed?: {
    readonly size: number;
    /** Unix ms. */
    readonly time: number;
  };
  /** Where the identity key is from; `folder` proves only that the log agrees with itself. */
  readonly identity?: LogTrust['from'];
}

/**
 * Whether one record is proven: its exact bytes, at its index, under the newest checkpoint. `given`: the identity key, where whoever checks has brought
 * it; else the folder's own. Throws `InputError` where there is no log.
 */
export async function verifyRecord(dir: string, index: number, given?: VerifierKey): Promise<RecordProof> {
  const line = await lineAt(dir, index);
  if (line === undefined) return { verdict: 'failed', because: `there is no line for the record ${index}` };
  try {
    const trust = logTrust(dir, given);
    const head = trust && sealedHead(dir, trust);
    if (!trust || !head) return { verdict: 'not_checkable', because: trust ? NO_CHECKPOINT : NO_KEY };
    const { size, time } = head.checkpoint;
    return { ...proofOf(dir, index, line, head), sealed: { size, time }, identity: trust.from };
  } catch (error) {
    if (error instanceof TlogError) return { verdict: 'failed', because: `the checkpoint: ${error.message}` };
    throw error;
  }
}

/** Why a log without a checkpoint cannot be checked. */
export const NO_CHECKPOINT = 'the log has no checkpoint: nothing in it is signed yet';

/** Why a log without an identity key cannot be checked. */
export const NO_KEY = 'the folder has no keys/identity.vkey, and no other key is given (--vkey)';

function proofOf(
  dir: string,
  index: number,
  line: Buffer,
  { checkpoint }: SealedHead,
): Pick<RecordProof, 'verdict' | 'because'> {
  if (index >= checkpoint.size)
    return { verdict: 'not_sealed', because: 'it is younger than the newest checkpoint' };
  try {
    const hashes = inclusionProof(index, checkpoint.size, tileFiles(dir));
    if (verifyInclusion(leafHash(line), index, checkpoint, hashes))
      return {
        verdict: 'proven',
        because: `it is in the tree of ${checkpoint.size} records that was signed`,
      };
    return { verdict: 'failed', because: 'its line, or a tile above it, is not what was signed' };
  } catch (error) {
    if (error instanceof TlogError) return { verdict: 'not_checkable', because: messageOf(error) };
    throw error;
  }
}

/** The exact bytes of the line where the record `index` must be; `undefined`: there is none. Throws `InputError` without a log. */
export async function lineAt(dir: string, index: number): Promise<Buffer | undefined> {
  const segment = logSegments(dir).findLast(({ firstIndex }) => firstIndex <= index);
  if (segment === undefined) return undefined;
  let first = segment.firstIndex;
  for await (const { lines, torn } of linesOf(segment)) {
    const line = lines[index - first];
    if (line !== undefined) return torn ? undefined : line;
    first += lines.length;
  }
  return undefined;
}
