import { linkSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { randomUUID } from 'node:crypto';

const WRITER_LOCK = 'writer.lock';

/** A directory is already written to by a live process. */
export class DirLockedError extends Error {
  override readonly name = 'DirLockedError';
}

/** Sole ownership of a log directory among the processes of one machine. */
export interface DirLock {
  /** Takes the lock again where it has vanished. Throws {@link DirLockedError} where somebody else has it now. */
  hold(): void;
  release(): void;
}

/**
 * Takes the directory for this process. A lock whose process is gone is taken over.
 *
 * A process is known by its id *and* its start, so that neither a reused id nor a restarted container, whose process always
 * has the same id, is mistaken for the old owner. Processes in different pid namespaces cannot see each other: two containers
 * must not share a log directory (the writer notices foreign bytes in its file and stops).
 *
 * `name`: of the lock file, where it is not the writer's place that is taken.
 */
export function lockDir(dir: string, name = WRITER_LOCK): DirLock {
  const path = join(dir, name);
  const own = JSON.stringify({ pid: process.pid, start: processStart(process.pid) ?? '', id: randomUUID() });
  take(path, own);
  return {
    hold: () => {
      if (readText(path) !== own) take(path, own);
    },
    release: () => {
      if (readText(path) === own) rmSync(path, { force: true });
    },
  };
}

/** Whether a live process of this machine, as far as it can be seen from here, owns a log directory. */
export function isDirLocked(dir: string, name = WRITER_LOCK): boolean {
  const owner = parseOwner(readText(join(dir, name)) ?? '');
  return owner !== undefined && isAlive(owner);
}

/** The lock appears whole, by link(2): nobody ever reads half a lock. */
function take(path: string, own: string): void {
  const draft = `${path}.${randomUUID()}`;
  writeFileSync(draft, own, { mode: 0o600, flag: 'wx' });
  try {
    if (linked(draft, path)) return;
    removeStale(path);
    if (!linked(draft, path)) throw new DirLockedError(`${path}: another process took the log directory`);
  } finally {
    rmSync(draft, { force: true });
  }
}

function linked(from: string, to: string): boolean {
  try {
    linkSync(from, to);
    return true;
  } catch (error) {
    if (errorCode(error) === 'EEXIST') return false;
    throw error;
  }
}

/** Moves a dead owner's lock away; gives it back where it turns out to be a live one that came in between. */
function removeStale(path: string): void {
  const seen = readText(path);
  if (seen === undefined) return;
  assertDead(seen, path);
  const aside = `${path}.${randomUUID()}`;
  renameSync(path, aside);
  try {
    if (readText(aside) !== seen) linked(aside, path);
  } finally {
    rmSync(aside, { force: true });
  }
}

function assertDead(lock: string, path: string): void {
  const owner = parseOwner(lock);
  if (owner === undefined || !isAlive(owner)) return;
  throw new DirLockedError(
    `${path}: the log directory belongs to the running process ${owner.pid}: stop that one, or give each its own directory`,
  );
}

interface Owner {
  readonly pid: number;
  readonly start: string;
}

function parseOwner(lock: string): Owner | undefined {
  try {
    const { pid, start }: { pid?: unknown; start?: unknown } = JSON.parse(lock);
    return Number.isSafeInteger(pid) && typeof start === 'string' ? { pid: Number(pid), start } : undefined;
  } catch {
    return undefined;
  }
}

function isAlive(owner: Owner): boolean {
  const start = processStart(owner.pid);
  if (start !== undefined && owner.start !== '') return start === owner.start;
  try {
    process.kill(owner.pid, 0);
    return true;
  } catch (error) {
    return errorCode(error) === 'EPERM';
  }
}

/** Boot id and start tick of a process, where the system has `/proc`; `undefined` where it has not or the process is gone. */
function processStart(pid: number): string | undefined {
  const stat = readText(`/proc/${pid}/stat`);
  const bootId = readText('/proc/sys/kernel/random/boot_id');
  // proc(5): the command's name is in parentheses and may hold anything; `starttime` is field 22.
  const fields = stat?.slice(stat.lastIndexOf(')') + 2).split(' ');
  // A zombie writes nothing any more, however long nobody reaps it.
  if (fields?.[0] === 'Z' || fields?.[0] === 'X') return 'dead';
  const tick = fields?.[19];
  return tick === undefined || bootId === undefined ? undefined : `${bootId.trim()}:${tick}`;
}

function readText(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}

function errorCode(error: unknown): unknown {
  return error instanceof Error && 'code' in error ? error.code : undefined;
}
