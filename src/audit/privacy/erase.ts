import { randomUUID } from 'node:crypto';
import { existsSync, rmSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import { type DirLock, DirLockedError, lockDir } from '../log/dir-lock.ts';
import { leaveNote } from '../log/inbox.ts';
import { logSegments } from '../read/log-folder.ts';
import { ERASURE_BEGUN } from '../record/control-record.ts';
import { type PackFile, countBlobsOf, eraseBlobsOf, packFiles, removeDrafts } from './erase-packs.ts';

/** What is to be erased. */
export interface Erasing {
  readonly dir: string;
  /** Kind of the subject, for the record. */
  readonly kind: string;
  /** Its pseudonym, under each key that the log was written with; the newest first. */
  readonly pseudonyms: readonly [string, ...string[]];
  readonly reason: string;
  /** Only counts. */
  readonly dryRun?: boolean;
  /** Milliseconds to wait for the process that writes the log. Default 30 000. */
  readonly patienceMs?: number;
  /** Told of each pack that was read. */
  onProgress?(done: number, all: number): void;
}

/** What was erased. */
export interface Erased {
  /** Pseudonym of the subject. */
  readonly subject: string;
  /** Id of the erasure, in its records and in what is left of the blobs; absent where there was nothing to erase, or it was only counted. */
  readonly erasure?: string;
  readonly packs: number;
  readonly blobs: number;
}

/** The process that writes the log did not take part in time: nothing was erased. */
export class LogBusyError extends Error {
  override readonly name = 'LogBusyError';
}

const PATIENCE_MS = 30_000;
const LOOK_EVERY_MS = 50;
/** The sealer may bring an old pack back while it compresses: more than one round is rare, and each round finds what the last one missed. */
const MAX_ROUNDS = 10;

/**
 * Erases what the packs of a log hold about a subject. Lines, leaves and proofs stay as they are. The log says first that it begins, then how much it was: who
 * is killed in between is not finished, and says it all again. What the process that writes the log writes from then on is not erased. Throws `InputError`
 * where there is no log, {@link LogBusyError}, {@link DirLockedError} where another erasure is at work, and the system's error.
 */
export async function eraseSubject(erasing: Erasing): Promise<Erased> {
  const { dir, pseudonyms, kind, reason, dryRun = false } = erasing;
  logSegments(dir);
  const [subject] = pseudonyms;
  const subjects = new Set(pseudonyms);
  if (dryRun) return { subject, ...(await count(packFiles(dir), subjects, erasing)) };
  const turn = lockDir(dir, 'erase.lock');
  try {
    removeDrafts(dir);
    const found = await count(packFiles(dir), subjects, erasing);
    if (found.blobs === 0) return { subject, packs: 0, blobs: 0 };
    const erasure = randomUUID();
    const about = { erasure, subject, subject_kind: kind, reason };
    const done = await withLogClosed(erasing, { ...about, state: ERASURE_BEGUN }, (below) =>
      eraseBelow(below, subjects, { erasing, erasure }),
    );
    leaveNote(dir, 'erased', { ...about, blobs: done.blobs });
    return { subject, erasure, ...done };
  } finally {
    turn.release();
  }
}

interface Counted {
  readonly packs: number;
  readonly blobs: number;
}

async function count(
  packs: readonly PackFile[],
  subjects: ReadonlySet<string>,
  { onProgress }: Pick<Erasing, 'onProgress'>,
): Promise<Counted> {
  let [touched, blobs] = [0, 0];
  for (const [at, pack] of packs.entries()) {
    const found = await countBlobsOf(pack, subjects);
    if (found > 0) touched += 1;
    blobs += found;
    onProgress?.(at + 1, packs.length);
  }
  return { packs: touched, blobs };
}

/**
 * Runs with every segment below the index that it is given closed: either nobody writes the log, and nobody can begin to, or the process that does has begun
 * a new segment with the record that the erasure begins.
 */
async function withLogClosed<T>(
  { dir, patienceMs = PATIENCE_MS }: Erasing,
  begins: Parameters<typeof leaveNote>[2],
  use: (below: number) => Promise<T>,
): Promise<T> {
  const note = leaveNote(dir, 'erased', begins);
  const deadline = performance.now() + patienceMs;
  for (;;) {
    const lock = lockIfFree(dir);
    if (lock) {
      try {
        return await use(Number.POSITIVE_INFINITY);
      } finally {
        lock.release();
      }
    }
    if (!existsSync(note)) return await use(logSegments(dir).at(-1)?.firstIndex ?? 0);
    if (performance.now() > deadline) {
      rmSync(note, { force: true });
      throw new LogBusyError(
        'the process that writes the log took no note of the erasure; nothing was erased',
      );
    }
    await pause(LOOK_EVERY_MS);
  }
}

function lockIfFree(dir: string): DirLock | undefined {
  try {
    return lockDir(dir);
  } catch (error) {
    if (error instanceof DirLockedError) return undefined;
    throw error;
  }
}

async function eraseBelow(
  below: number,
  subjects: ReadonlySet<string>,
  { erasing, erasure }: { readonly erasing: Erasing; readonly erasure: string },
): Promise<Counted> {
  const touched = new Set<number>();
  let blobs = 0;
  for (let round = 0; round < MAX_ROUNDS; round++) {
    const packs = packFiles(erasing.dir).filter(({ firstIndex }) => firstIndex < below);
    const found = await eraseRound(packs, subjects, { erasing, erasure });
    if (found.length === 0) return { packs: touched.size, blobs };
    for (const { pack, count: ofPack } of found) {
      // The same blobs again, in another form of the pack, are no more blobs.
      if (!touched.has(pack.firstIndex)) blobs += ofPack;
      touched.add(pack.firstIndex);
    }
  }
  throw new LogBusyError('packs were changed again and again while they were rewritten: run it again');
}

async function eraseRound(
  packs: readonly PackFile[],
  subjects: ReadonlySet<string>,
  { erasing, erasure }: { readonly erasing: Erasing; readonly erasure: string },
): Promise<readonly { readonly pack: PackFile; readonly count: number }[]> {
  const found: { readonly pack: PackFile; readonly count: number }[] = [];
  for (const [at, pack] of packs.entries()) {
    const ofPack = await countBlobsOf(pack, subjects);
    if (ofPack > 0) {
      await eraseIfThere(pack, subjects, erasure);
      found.push({ pack, count: ofPack });
    }
    erasing.onProgress?.(at + 1, packs.length);
  }
  return found;
}

/** A pack that was compressed or removed since it was listed is looked for again in the next round. */
async function eraseIfThere(pack: PackFile, subjects: ReadonlySet<string>, erasure: string): Promise<void> {
  try {
    await eraseBlobsOf(pack, subjects, erasure);
  } catch (error) {
    if (existsSync(pack.path)) throw error;
  }
}
