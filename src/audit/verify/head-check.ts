import { InputError, messageOf } from '../../pdp/errors.ts';
import type { LineSource } from '../read/line-reader.ts';
import { TlogError } from '../tlog/tlog-error.ts';
import type { SealedCheckpoint } from '../tlog/epoch.ts';
import { type VerifierKey, verifierKeyText } from '../tlog/note-key.ts';
import type { Findings } from './findings.ts';
import { keptCheckpoints, keptCheckpointsFile } from './kept-checkpoints.ts';
import { type ExpectedHead, OLDER } from './tree-check.ts';
import { type LogTrust, checkpointNote, logTrust, openUnder, ownIdentity } from './trust.ts';

/** What the signatures of a log say. */
export interface Heads {
  readonly trust: LogTrust | undefined;
  /** `undefined`: nothing is signed, or not by anyone who is trusted. */
  readonly newest: SealedCheckpoint | undefined;
  /** Every checkpoint to compare the records with, by size. */
  expected(): AsyncGenerator<ExpectedHead>;
}

/** Where heads are from, beside the folder. */
export interface HeadSources {
  /** The identity key, where whoever checks has brought it. */
  readonly identity?: VerifierKey | undefined;
  /** Note of a checkpoint that was kept elsewhere. */
  readonly older?: string | undefined;
}

/** Opens what is signed of a log. What is wrong with it is a finding. */
export function headsOf(dir: string, { identity, older }: HeadSources, findings: Findings): Heads {
  // In this order: what is kept by now is never newer than the checkpoint that is read next.
  const kept = keptCheckpointsFile(dir);
  const trust = orFinding('keys/identity.vkey', findings, () => logTrust(dir, identity));
  if (trust && identity) compareIdentity(dir, trust, findings);
  for (const { file, message } of trust?.refused ?? [])
    findings.add('integrity', 'failed', `the certificate of an epoch key: ${message}`, { file });
  const note = orFinding('checkpoint', findings, () => checkpointNote(dir));
  const newest =
    trust && note !== undefined ? orFinding('checkpoint', findings, () => openUnder(trust, note)) : undefined;
  const before = trust && older !== undefined ? olderOf(older, trust, findings) : undefined;
  if (note === undefined && (kept !== undefined || before !== undefined))
    findings.add('integrity', 'failed', 'the checkpoint is gone, though there was one', {
      file: 'checkpoint',
    });
  if (newest && kept === undefined)
    findings.add(
      'completeness',
      'note',
      'it is not there: what was signed before the newest checkpoint is not compared, and that an old state was put back would not show',
      { file: KEPT },
    );
  if (newest && before) assertGrown(newest, before, OLDER, findings);
  return { trust, newest, expected: () => expectedHeads({ trust, newest, before, kept }, findings) };
}

/** Says plainly whose fault it is: a wrong key was given, or the folder's was exchanged. */
function compareIdentity(dir: string, { identity, epochs }: LogTrust, findings: Findings): void {
  const file = 'keys/identity.vkey';
  const own = orFinding(file, findings, () => ownIdentity(dir));
  const [given, found] = [verifierKeyText(identity), own && verifierKeyText(own)];
  if (found === undefined || found === given) return;
  const vouches = epochs.length > 0;
  const message = vouches
    ? `the folder's key was exchanged: it is not the key that you gave, which vouches for what signed this log`
    : `the key that you gave (--vkey) is not the key of this log: you gave ${given}, and the folder has ${found}. Either you have the key of another log, or the folder's keys were exchanged`;
  findings.add('integrity', 'failed', message, { file });
}

function orFinding<T>(file: string, findings: Findings, open: () => T): T | undefined {
  try {
    return open();
  } catch (error) {
    if (!(error instanceof TlogError)) throw error;
    findings.add('integrity', 'failed', messageOf(error), { file });
    return undefined;
  }
}

/** One that is no checkpoint at all is a mistake of who gave it. */
function olderOf(note: string, trust: LogTrust, findings: Findings): SealedCheckpoint | undefined {
  return orFinding(OLDER, findings, () => {
    try {
      return openUnder(trust, note);
    } catch (error) {
      if (!(error instanceof TlogError) || error.code !== 'malformed') throw error;
      throw new InputError('bad usage:', [{ where: OLDER, message: error.message }]);
    }
  });
}

function assertGrown(
  newest: SealedCheckpoint,
  before: SealedCheckpoint,
  file: string,
  findings: Findings,
): boolean {
  if (before.time > newest.time)
    findings.add(
      'integrity',
      'failed',
      `it was signed at ${new Date(before.time).toISOString()}, and the newest checkpoint says an earlier time, ${new Date(newest.time).toISOString()}: that one was put there by other means than the log's own`,
      { file },
    );
  if (before.size <= newest.size) return true;
  findings.add(
    'integrity',
    'failed',
    `it is over ${before.size} records, and the newest checkpoint only over ${newest.size}: an old state was put back`,
    { file },
  );
  return false;
}

interface Signed {
  readonly trust: LogTrust | undefined;
  readonly newest: SealedCheckpoint | undefined;
  readonly before: SealedCheckpoint | undefined;
  readonly kept: LineSource | undefined;
}

async function* expectedHeads(
  { trust, newest, before, kept }: Signed,
  findings: Findings,
): AsyncGenerator<ExpectedHead> {
  if (trust === undefined || newest === undefined) return;
  let due = before !== undefined && before.size <= newest.size ? before : undefined;
  for await (const checkpoint of keptCheckpoints(kept, trust, findings)) {
    if (due && due.size <= checkpoint.size) {
      yield { checkpoint: due, name: OLDER };
      due = undefined;
    }
    if (assertGrown(newest, checkpoint, KEPT, findings)) yield { checkpoint, name: KEPT };
  }
  if (due) yield { checkpoint: due, name: OLDER };
  yield { checkpoint: newest, name: 'checkpoint' };
}

const KEPT = 'checkpoints.log';
