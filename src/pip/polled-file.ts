import { readFile, stat } from 'node:fs/promises';

/** A file whose changes are noticed by looking at it, which works across bind mounts and swapped symlinks. */
export interface PolledFile extends Disposable {
  /** Looks once, now. Resolves when the look and its callback are done; never rejects. */
  poll(): Promise<void>;
}

/** What {@link pollFile} does with what it sees. Neither callback may throw. */
export interface FilePolling {
  readonly file: string;
  /** Ms between looks. */
  readonly intervalMs: number;
  /** The file is new or has changed since the last look; `modifiedAt` in Unix ms. */
  readonly onContent: (content: string, modifiedAt: number) => void;
  /** The file is there and has not changed. */
  readonly onUnchanged?: () => void;
  /** The file could not be read; called for each different problem once until it can be read again. */
  readonly onProblem: (problem: string) => void;
}

/** Reads a text file together with what identifies this version of it. Rejects with the error of `node:fs`. */
export async function readVersion(
  file: string,
): Promise<{ readonly content: string; readonly modifiedAt: number; readonly version: string }> {
  // Looked at before it is read: a write in between makes the next look see another version, never miss one.
  const seen = await stat(file, { bigint: true });
  const content = await readFile(file, 'utf8');
  return { content, modifiedAt: Number(seen.mtimeMs), version: versionOf(seen) };
}

/** Polls a file from now on, without keeping the process alive. `version` is the version already known, if any. */
export function pollFile(polling: FilePolling, version?: string): PolledFile {
  let known = version;
  let problem: string | undefined;
  let looking: Promise<void> | undefined;
  const look = async (): Promise<void> => {
    try {
      if (known !== undefined && versionOf(await stat(polling.file, { bigint: true })) === known) {
        if (problem === undefined) return polling.onUnchanged?.();
      }
      const read = await readVersion(polling.file);
      known = read.version;
      problem = undefined;
      polling.onContent(read.content, read.modifiedAt);
    } catch (error) {
      const text = fileProblem(error);
      if (text !== problem) polling.onProblem(text);
      problem = text;
    }
  };
  const poll = (): Promise<void> => (looking ??= look().finally(() => (looking = undefined)));
  const timer = setInterval(() => void poll(), polling.intervalMs).unref();
  return { poll, [Symbol.dispose]: () => clearInterval(timer) };
}

/** An error of `node:fs` in an operator's words, without the path. */
export function fileProblem(error: unknown): string {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  switch (code) {
    case 'ENOENT':
      return 'the file does not exist';
    case 'EACCES':
      return 'the file may not be read';
    case 'EISDIR':
      return 'the path is a directory';
    default:
      return `the file cannot be read (${typeof code === 'string' ? code : String(error)})`;
  }
}

function versionOf(seen: { readonly ino: bigint; readonly size: bigint; readonly mtimeNs: bigint }): string {
  return `${seen.ino}/${seen.size}/${seen.mtimeNs}`;
}
