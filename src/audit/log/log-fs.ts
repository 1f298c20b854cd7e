import {
  closeSync,
  constants,
  existsSync,
  fdatasync,
  fstatSync,
  fsyncSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readdirSync,
  readSync,
  rmSync,
  truncateSync,
  writeSync,
} from 'node:fs';

/**
 * The file operations of the log writer, so that tests can count writes and let the disk fail.
 *
 * Appends are synchronous on purpose: a `write(2)` of some kilobytes into the page cache takes microseconds, less than
 * handing the bytes to the thread pool and back. What waits for the medium, `fdatasync`, is asynchronous.
 */
export interface LogFs {
  /** Creates a directory and its parents, readable by the owner only. */
  makeDir(path: string): void;
  /** Names in a directory. */
  names(dir: string): string[];
  /** Opens a file to append to, creating it readable by the owner only. */
  openAppend(path: string): number;
  /** Appends; returns how many bytes were taken. */
  write(fd: number, bytes: Buffer, offset: number): number;
  /** Bytes in an open file and how many names it still has. */
  stat(fd: number): { readonly size: number; readonly links: number };
  truncate(fd: number, size: number): void;
  close(fd: number): void;
  /** Brings the bytes of an open file to the medium. */
  sync(fd: number, done: (error: Error | null) => void): void;
  /** Brings a directory's entries to the medium. */
  syncDir(path: string): void;
  /** Reads `length` bytes at `position` of the file at `path`; fewer at its end. */
  read(path: string, position: number, length: number): Buffer;
  size(path: string): number;
  truncatePath(path: string, size: number): void;
  exists(path: string): boolean;
  remove(path: string): void;
}

/** The real file system. */
export const NODE_LOG_FS: LogFs = {
  makeDir: (path) => void mkdirSync(path, { recursive: true, mode: 0o700 }),
  names: (dir) => readdirSync(dir),
  // Without O_NONBLOCK a FIFO in the place of a segment would stop the process instead of failing the write.
  openAppend: (path) =>
    openSync(path, constants.O_WRONLY | constants.O_CREAT | constants.O_APPEND | constants.O_NONBLOCK, 0o600),
  write: (fd, bytes, offset) => writeSync(fd, bytes, offset),
  stat: (fd) => {
    const stat = fstatSync(fd);
    return { size: stat.size, links: stat.nlink };
  },
  truncate: (fd, size) => ftruncateSync(fd, size),
  close: (fd) => closeSync(fd),
  sync: (fd, done) => fdatasync(fd, done),
  syncDir: (path) => withFile(path, (fd) => fsyncSync(fd)),
  read: (path, position, length) =>
    withFile(path, (fd) => {
      const bytes = Buffer.alloc(length);
      return bytes.subarray(0, readSync(fd, bytes, 0, length, position));
    }),
  size: (path) => withFile(path, (fd) => fstatSync(fd).size),
  truncatePath: (path, size) => truncateSync(path, size),
  exists: (path) => existsSync(path),
  remove: (path) => rmSync(path),
};

function withFile<T>(path: string, use: (fd: number) => T): T {
  const fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    return use(fd);
  } finally {
    closeSync(fd);
  }
}
