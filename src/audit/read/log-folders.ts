import { type Dirent, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { segmentsOf } from '../log/segments.ts';

/** One of the logs in a folder. */
export interface NamedLog {
  /** `worker-<n>`; of the log in the folder itself, empty. */
  readonly name: string;
  readonly dir: string;
}

/** The logs in a folder. */
export interface LogFolders {
  readonly logs: readonly NamedLog[];
  /** Names of workers below the highest that have no folder: their logs were removed. */
  readonly missing: readonly string[];
}

/** What a log has beside its segments: where any of it is, there was one. */
const TRACES: ReadonlySet<string> = new Set(['checkpoint', 'checkpoints.log', 'tile']);

/**
 * The logs that `audit.dir` has: one in the folder itself, and one for each worker that there ever was. A folder without any, and one of which all
 * segments were removed, are taken for a log, so that whoever reads it says what is wrong.
 */
export function logFoldersIn(dir: string): LogFolders {
  const entries = entriesIn(dir);
  const names = entries.map(({ name }) => name);
  const numbers = entries.flatMap((entry) =>
    /^worker-[1-9]\d{0,2}$/.test(entry.name) && !entry.isFile() ? [Number(entry.name.slice(7))] : [],
  );
  const isLog = segmentsOf(dir, names).length > 0 || names.some((name) => TRACES.has(name));
  const own = isLog || numbers.length === 0;
  const sorted = numbers.toSorted((a, b) => a - b);
  const workers = sorted.map((number) => nameOf(number));
  const all = Array.from({ length: sorted.at(-1) ?? 0 }, (_, index) => nameOf(index + 1));
  return {
    logs: [...(own ? [{ name: '', dir }] : []), ...workers.map((name) => ({ name, dir: join(dir, name) }))],
    missing: all.filter((name) => !workers.includes(name)),
  };
}

function nameOf(number: number): string {
  return `worker-${number}`;
}

function entriesIn(dir: string): readonly Dirent[] {
  try {
    return readdirSync(dir, { withFileTypes: true });
  } catch {
    return [];
  }
}
