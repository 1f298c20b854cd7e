import {
  closeSync,
  fdatasyncSync,
  fsyncSync,
  mkdirSync,
  openSync,
  renameSync,
  rmSync,
  writeSync,
} from 'node:fs';
import { dirname } from 'node:path';

/**
 * What the sealer does to the medium, so that tests can let it fail or end at each step. All of it is synchronous: the sealer has a thread of its
 * own, and the thread pool is left to what is being served.
 */
export interface SealFs {
  /** Creates a file with these bytes, in place of one of that name, and brings them to the medium. */
  create(path: string, bytes: Uint8Array, mode: number): void;
  /** Brings the bytes of an open file to the medium. */
  sync(fd: number): void;
  rename(from: string, to: string): void;
  /** Brings the entries of a folder to the medium. */
  syncFolder(path: string): void;
  /** Removes a file, or a folder with all that is in it; nothing where there is none. */
  remove(path: string): void;
}

/** The real file system. */
export const NODE_SEAL_FS: SealFs = {
  create: (path, bytes, mode) =>
    withFile(openSync(path, 'w', mode), (fd) => {
      for (let at = 0; at < bytes.length;) at += writeSync(fd, bytes, at);
      fsyncSync(fd);
    }),
  sync: (fd) => fdatasyncSync(fd),
  rename: (from, to) => renameSync(from, to),
  syncFolder: (path) => withFile(openSync(path, 'r'), (fd) => fsyncSync(fd)),
  remove: (path) => rmSync(path, { recursive: true, force: true }),
};

/** Uses an open file and closes it. */
export function withFile<T>(fd: number, use: (fd: number) => T): T {
  try {
    return use(fd);
  } finally {
    closeSync(fd);
  }
}

/** A file with the bytes that it is to have. */
export interface FileToWrite {
  readonly path: string;
  readonly bytes: Uint8Array;
  /** Default 0600. */
  readonly mode?: number;
}

/** How the names of files end that are not what they are to be yet. The next attempt takes their place. */
export const DRAFT = '.draft';

/**
 * Writes files, for which no other process does, so that a crash leaves each of them as it was or as it is to be, never part of it, and that they are on the medium afterwards.
 * Throws the system's error; drafts are then gone, and some of the files may be in place.
 */
export function writeDurably(fs: SealFs, files: readonly FileToWrite[]): void {
  const drafts = files.map((file) => ({ ...file, draft: `${file.path}${DRAFT}` }));
  const folders = new Set(files.map(({ path }) => dirname(path)));
  for (const folder of folders) makeFolder(fs, folder);
  try {
    for (const { draft, bytes, mode = 0o600 } of drafts) fs.create(draft, bytes, mode);
    for (const { draft, path } of drafts) fs.rename(draft, path);
  } catch (error) {
    for (const { draft } of drafts) fs.remove(draft);
    throw error;
  }
  for (const folder of folders) fs.syncFolder(folder);
}

/** Makes a folder with its parents, and brings the name of the first new one to the medium. */
export function makeFolder(fs: SealFs, path: string): void {
  const first = mkdirSync(path, { recursive: true, mode: 0o700 });
  if (first === undefined) return;
  for (let folder = path; folder.length >= first.length; folder = dirname(folder))
    fs.syncFolder(dirname(folder));
}

/** The code of a system's error. */
export function errorCode(error: unknown): unknown {
  return error instanceof Error && 'code' in error ? error.code : undefined;
}
