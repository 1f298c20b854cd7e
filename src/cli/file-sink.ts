import { closeSync, openSync, writeFileSync } from 'node:fs';
import { InputError, messageOf } from '../pdp/errors.ts';

/** A file that is being written. */
export interface FileSink {
  /** Throws `InputError`. */
  write(text: string): void;
  end(): void;
}

/** Opens a file that only its owner can read, in place of what was there. Throws `InputError` where it cannot be written. */
export function fileSink(file: string): FileSink {
  const fd = orRefused(file, () => openSync(file, 'w', 0o600));
  return {
    // Of an open file: it goes on where the last one ended.
    write: (text) => orRefused(file, () => writeFileSync(fd, text)),
    end: () => orRefused(file, () => closeSync(fd)),
  };
}

function orRefused<T>(file: string, use: () => T): T {
  try {
    return use();
  } catch (error) {
    throw new InputError('the file cannot be written:', [{ where: file, message: messageOf(error) }]);
  }
}
