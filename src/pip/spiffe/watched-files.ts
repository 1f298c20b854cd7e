import { fileProblem, readVersion } from '../polled-file.ts';

/** Files that change together, such as a certificate and its key. */
export interface WatchedFiles extends AsyncDisposable {
  /** Looks now. Resolves when the look and its callback are done; never rejects. */
  look(): Promise<void>;
}

/** What {@link watchFiles} does with what it sees. No callback may throw. */
export interface FileWatching {
  readonly files: readonly string[];
  /** Ms between looks. */
  readonly intervalMs: number;
  /** After every look; `contents` lacks the files that cannot be read. */
  readonly onLook: (contents: ReadonlyMap<string, string>, hasChanged: boolean) => void;
  /** A file cannot be read; once for each different problem until it can be. */
  readonly onProblem: (file: string, problem: string) => void;
}

type Look = ReadonlyMap<
  string,
  { readonly content: string; readonly version: string } | { readonly problem: string }
>;

/** A rotation that has not settled by then is judged as it is, and again when it changes. */
const MAX_READS = 5;

/**
 * Looks at several files from now on, without keeping the process alive. Where one has changed, all are read until two readings in a
 * row agree, so that a rotation of them all is not seen half done; bind mounts and swapped symlinks are seen like any change.
 */
export function watchFiles(watching: FileWatching): WatchedFiles {
  let last: Look = new Map();
  let looking: Promise<void> | undefined;
  let isClosed = false;
  const lookOnce = async (): Promise<void> => {
    const settled = await readSettled(watching.files, last);
    if (isClosed) return;
    const hasChanged = !isSame(settled, last);
    reportProblems(settled, last, watching.onProblem);
    last = settled;
    watching.onLook(contentsOf(settled), hasChanged);
  };
  const look = (): Promise<void> => (looking ??= lookOnce().finally(() => (looking = undefined)));
  const timer = setInterval(() => void look(), watching.intervalMs).unref();
  return {
    look,
    async [Symbol.asyncDispose]() {
      isClosed = true;
      clearInterval(timer);
      await looking;
    },
  };
}

async function readSettled(files: readonly string[], last: Look): Promise<Look> {
  let before = last;
  let now = await readAll(files);
  for (let reads = 1; reads < MAX_READS && !isSame(now, before); reads += 1) {
    before = now;
    now = await readAll(files);
  }
  return now;
}

async function readAll(files: readonly string[]): Promise<Look> {
  const read = async (file: string) =>
    [file, await readVersion(file).catch((error: unknown) => ({ problem: fileProblem(error) }))] as const;
  return new Map(await Promise.all(files.map(read)));
}

function isSame(left: Look, right: Look): boolean {
  return (
    left.size === right.size && [...left].every(([file, seen]) => markOf(seen) === markOf(right.get(file)))
  );
}

function markOf(seen: { readonly version: string } | { readonly problem: string } | undefined): string {
  if (!seen) return '';
  return 'version' in seen ? seen.version : seen.problem;
}

function reportProblems(now: Look, last: Look, onProblem: FileWatching['onProblem']): void {
  for (const [file, seen] of now) {
    if ('problem' in seen && seen.problem !== markOf(last.get(file))) onProblem(file, seen.problem);
  }
}

function contentsOf(look: Look): ReadonlyMap<string, string> {
  const contents = new Map<string, string>();
  for (const [file, seen] of look) if ('content' in seen) contents.set(file, seen.content);
  return contents;
}
