import type { LogFs } from './log-fs.ts';

/** What an {@link AppendFile} needs. */
export interface AppendFileOptions {
  readonly path: string;
  readonly fs: LogFs;
  /** Runs before the file is opened: makes sure that its directory is there, and ours; throws where it is not. */
  readonly prepare: () => void;
  /** Runs once it is open. */
  readonly opened: () => void;
}

/** How far a file is good. */
export interface FilePosition {
  /** Bytes of whole batches: the only size at which the file is right. */
  readonly size: number;
  /** Whether what lies behind `size` is what remains of a failed batch of ours, and may be cut. */
  readonly torn: boolean;
}

/**
 * A file that is only ever appended to. A batch gets into the file whole or not at all: whatever fails, the file is cut back to
 * the last whole batch before anything else is written.
 */
export class AppendFile {
  readonly #options: AppendFileOptions;
  #fd: number | undefined;
  #position: FilePosition;
  #sizeBefore: number;

  constructor(options: AppendFileOptions, position: FilePosition = { size: 0, torn: false }) {
    this.#options = options;
    this.#position = position;
    this.#sizeBefore = position.size;
  }

  /** Bytes of whole batches. */
  get size(): number {
    return this.#position.size;
  }

  /** Opens the file where it is not open yet, creating it. Throws the system's error. */
  open(): number {
    return this.#fd ?? this.#open();
  }

  /** Appends one batch. Throws the system's error; the batch is then not in the file. */
  append(bytes: Buffer): void {
    const fd = this.open();
    this.#assertUntouched(fd);
    const { size } = this.#position;
    try {
      this.#writeAll(fd, bytes);
    } catch (error) {
      this.#cutBack(fd, size);
      throw error;
    }
    this.#sizeBefore = size;
    this.#position = { size: size + bytes.length, torn: false };
  }

  /** Takes the last appended batch back: it did not reach the medium. */
  rollBack(): void {
    if (this.#fd === undefined) return;
    this.#cutBack(this.#fd, this.#sizeBefore);
    // After a failed fdatasync the kernel may call the lost pages clean; only a fresh descriptor reports the next failure.
    this.close();
  }

  /** Brings everything appended to the medium. */
  async sync(): Promise<void> {
    if (this.#fd === undefined) return;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.#options.fs.sync(this.#fd, (error) => (error === null ? resolve() : reject(error)));
    await promise;
  }

  /** Closes the file; the next batch opens it again. */
  close(): void {
    if (this.#fd !== undefined) this.#closeQuietly(this.#fd);
    this.#fd = undefined;
  }

  /** Closes the file for good; what it holds goes to the medium in the background. */
  retire(): void {
    const fd = this.#fd;
    this.#fd = undefined;
    if (fd !== undefined) this.#options.fs.sync(fd, () => this.#closeQuietly(fd));
  }

  #closeQuietly(fd: number): void {
    try {
      this.#options.fs.close(fd);
    } catch {
      // A descriptor that cannot be closed is closed already, and its bytes were checked when they were written.
    }
  }

  #open(): number {
    const { path, fs, prepare, opened } = this.#options;
    prepare();
    const fd = fs.openAppend(path);
    this.#fd = fd;
    const { size, torn } = this.#position;
    return this.#orClose(() => {
      if (torn && fs.stat(fd).size > size) fs.truncate(fd, size);
      opened();
      this.#position = { size, torn: false };
      return fd;
    });
  }

  #orClose<T>(use: () => T): T {
    try {
      return use();
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /**
   * Refuses a file that is not as we left it: removed, cut, or written by somebody else. One `fstat` for each batch (about a
   * microsecond) makes it impossible to go on logging into a file that nobody will ever see. What others wrote is left alone.
   */
  #assertUntouched(fd: number): void {
    const { size, links } = this.#orClose(() => this.#options.fs.stat(fd));
    if (links > 0 && size === this.#position.size) return;
    this.close();
    const found =
      links === 0 ? 'it was removed' : `it has ${size} bytes where ${this.#position.size} were written`;
    throw new ChangedFileError(`${this.#options.path} was changed by somebody else: ${found}`);
  }

  #writeAll(fd: number, bytes: Buffer): void {
    for (let offset = 0; offset < bytes.length;) {
      const written = this.#options.fs.write(fd, bytes, offset);
      if (written === 0) throw new Error('the file took no bytes');
      offset += written;
    }
  }

  /** Where even cutting back fails the file is closed, and cut when it is opened again. */
  #cutBack(fd: number, size: number): void {
    try {
      this.#options.fs.truncate(fd, size);
      this.#position = { size, torn: false };
    } catch {
      this.close();
      this.#position = { size, torn: true };
    }
  }
}

/** A file is not as it was left: nothing more goes into it. */
export class ChangedFileError extends Error {
  override readonly name = 'ChangedFileError';
}
