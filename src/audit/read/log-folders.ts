import { readdirSync } from 'node:fs';
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

/**
 * The logs that `audit.dir` has: one in the folder itself, and one for each worker that there ever was. A folder without any is taken for a
 * log, so that whoever reads it says what is wrong.
 */
export function logFoldersIn(dir: string): LogFolders {
  const names = namesIn(dir);
  const numbers = names.flatMap((name) =>
    /^worker-[1-9]\d{0,2}$/.test(name) ? [Number(name.slice(7))] : [],
  );
  const own = segmentsOf(dir, names).length > 0 || numbers.length === 0;
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

function namesIn(dir: string): readonly string[] {
  try {
    return readdirSync(dir);
  } catch {
    return [];
  }
}
