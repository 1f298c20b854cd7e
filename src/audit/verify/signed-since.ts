import { tileFiles } from '../read/tile-files.ts';
import { inclusionProof } from '../tlog/proofs.ts';
import { TlogError } from '../tlog/tlog-error.ts';
import { type TreeHead, verifyInclusion } from '../tlog/verify-proof.ts';
import type { Heads } from './head-check.ts';
import { checkpointNote, openUnder } from './trust.ts';

/** The newest checkpoint as it is now; the one that was there at first where this one is not good, or not newer. */
export function headNow(dir: string, { trust, newest }: Heads): TreeHeadAt {
  const first = newest ?? NOTHING;
  try {
    const note = checkpointNote(dir);
    if (trust === undefined || note === undefined) return first;
    const now = openUnder(trust, note);
    return now.size >= first.size && now.time >= first.time ? now : first;
  } catch (error) {
    if (error instanceof TlogError) return first;
    throw error;
  }
}

/** A tree with the time of its checkpoint, in Unix ms. */
interface TreeHeadAt extends TreeHead {
  readonly time: number;
}

const NOTHING: TreeHeadAt = { size: 0, root: new Uint8Array(), time: 0 };

/** Whether a line is in a tree, at its index, as the tiles prove it. */
export function isIn(
  dir: string,
  { index, leaf }: { readonly index: number; readonly leaf: Uint8Array },
  head: TreeHead,
): boolean {
  if (!Number.isSafeInteger(index) || index < 0 || index >= head.size) return false;
  try {
    return verifyInclusion(leaf, index, head, inclusionProof(index, head.size, tileFiles(dir)));
  } catch (error) {
    if (error instanceof TlogError) return false;
    throw error;
  }
}
