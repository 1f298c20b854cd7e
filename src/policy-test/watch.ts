import { type FSWatcher, existsSync, statSync, watch } from 'node:fs';
import { dirname, join, resolve } from 'node:path';

const DEBOUNCE_MS = 100;
const WATCHED = /\.(?:cedar|cedarschema|json|yaml)$/;

/**
 * Calls `onChange` when policies, schemas, facts or tests below the folders, or the schema above them, have changed, once for
 * changes that come together. A call that is still running is finished first. Resolves when the signal aborts; rejects with what
 * `onChange` rejects with.
 */
export async function watchPolicies(
  folders: readonly string[],
  onChange: () => Promise<void>,
  signal: AbortSignal,
): Promise<void> {
  const done = Promise.withResolvers<void>();
  let timer: NodeJS.Timeout | undefined;
  let running = Promise.resolve();
  const changed = (name: string | null): void => {
    if (name !== null && !WATCHED.test(name)) return;
    clearTimeout(timer);
    timer = setTimeout(() => {
      running = running.then(onChange);
      running.catch(done.reject);
    }, DEBOUNCE_MS);
  };
  const watchers = watchAll(folders, changed, done.reject);
  const stop = (): void => done.resolve();
  signal.addEventListener('abort', stop, { once: true });
  if (signal.aborted) stop();
  try {
    await done.promise;
    await running;
  } finally {
    clearTimeout(timer);
    signal.removeEventListener('abort', stop);
    for (const watcher of watchers) watcher.close();
  }
}

function watchAll(
  folders: readonly string[],
  changed: (name: string | null) => void,
  failed: (error: Error) => void,
): FSWatcher[] {
  const below = folders.map((folder) => watch(folder, { recursive: true }, (_event, name) => changed(name)));
  // Only the schema matters there, and a folder far above may hold much else.
  const above = [...new Set(folders.flatMap(schemaFolderAbove))].map((folder) =>
    watch(folder, (_event, name) => changed(name === 'schema.cedarschema' ? name : '')),
  );
  const watchers = [...below, ...above];
  for (const watcher of watchers) watcher.on('error', failed);
  return watchers;
}

function schemaFolderAbove(folder: string): string[] {
  for (let at = resolve(folder); at !== dirname(at) && !existsSync(join(at, '.git'));) {
    at = dirname(at);
    const file = join(at, 'schema.cedarschema');
    if (existsSync(file) && statSync(file).isFile()) return [at];
  }
  return [];
}
