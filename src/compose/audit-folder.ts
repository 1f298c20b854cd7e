import { messageOf } from '../pdp/errors.ts';

/** What to do about what the system says of a folder, by its code. */
const ADVICE: Readonly<Record<string, string>> = {
  EACCES: 'it has to be a folder that the user of this process can write to',
  EPERM: 'it has to be a folder that the user of this process can write to',
  EROFS: 'it is on a file system that is mounted read-only',
  ENOSPC:
    'make room there (audit.retention keeps it), or configure another folder: nothing is answered without a record',
  EDQUOT:
    'make room there (audit.retention keeps it), or configure another folder: nothing is answered without a record',
  ENOTDIR: 'a part of its path is a file',
  EEXIST: 'it is a file, not a folder',
};

/** Opens what is in the folder of the decision log. Where the system refuses, the `Error` names the folder, its setting and what to do. */
export async function openIn<T>(dir: string, open: () => Promise<T>): Promise<T> {
  try {
    return await open();
  } catch (error) {
    const advice = ADVICE[codeOf(error)];
    if (advice === undefined) throw error;
    const words = `the decision log cannot be opened in ${dir} (audit.dir): ${messageOf(error)}: ${advice}`;
    throw new Error(words, { cause: error });
  }
}

function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : '';
}
