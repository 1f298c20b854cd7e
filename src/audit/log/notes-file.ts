import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { parseRecord } from '../read/decision-record.ts';

/** Short texts by name. */
export type Notes = Readonly<Record<string, string>>;

/** What an earlier run left in a small file; nothing where it is not there or makes no sense: it is only ever a convenience. */
export function readNotes(path: string): Notes {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch {
    return {};
  }
  const entries = Object.entries(parseRecord(text) ?? {});
  return Object.fromEntries(
    entries.filter((entry): entry is [string, string] => typeof entry[1] === 'string'),
  );
}

/** Replaces the file, whole or not at all. Throws the system's error. */
export function writeNotes(path: string, notes: Notes): void {
  const draft = `${path}.draft`;
  writeFileSync(draft, `${JSON.stringify(notes)}\n`, { mode: 0o600 });
  renameSync(draft, path);
}
