import { lstatSync, mkdirSync, readFileSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { isRecord } from '../../pdp/external-json.ts';
import { parseRecord } from '../read/decision-record.ts';
import type { ControlFields, ControlKind } from '../record/control-record.ts';

/** Control records that other processes may ask for. */
export type NoteKind = Extract<ControlKind, 'log_read' | 'replay_run' | 'erased'>;

/** What another process wants recorded in the log. */
export interface InboxNote {
  /** File that it came in; removed once it is recorded. */
  readonly path: string;
  readonly kind: NoteKind;
  readonly fields: ControlFields;
}

const KINDS: readonly string[] = ['log_read', 'replay_run', 'erased'] satisfies NoteKind[];
const NOTE_NAME = /^[0-9a-f-]{36}\.json$/;
const MAX_BYTES = 16 * 1024;
const MAX_NOTES = 1000;

/**
 * Asks the process that writes the log, or the next one that does, to record something: only one process may write to a log. Throws the system's
 * error where the folder is read-only. Returns the note's path, which is gone once it is recorded.
 */
export function leaveNote(dir: string, kind: NoteKind, fields: ControlFields): string {
  const inbox = join(dir, 'inbox');
  mkdirSync(inbox, { recursive: true, mode: 0o700 });
  const path = join(inbox, `${randomUUID()}.json`);
  writeFileSync(`${path}.draft`, JSON.stringify({ kind, fields }), { mode: 0o600, flag: 'wx' });
  renameSync(`${path}.draft`, path);
  return path;
}

/** The notes that were left, at most a thousand at a time. What is no note is removed. */
export function readInbox(dir: string): readonly InboxNote[] {
  const inbox = join(dir, 'inbox');
  const notes: InboxNote[] = [];
  for (const name of namesIn(inbox)
    .filter((entry) => NOTE_NAME.test(entry))
    .slice(0, MAX_NOTES)) {
    const path = join(inbox, name);
    const note = noteIn(path);
    if (note === 'none') removeQuietly(path);
    else if (note) notes.push(note);
  }
  return notes;
}

function removeQuietly(path: string): void {
  try {
    rmSync(path, { force: true });
  } catch {
    // It is no note, and stays where it is: those beside it must not wait for it.
  }
}

function namesIn(inbox: string): readonly string[] {
  try {
    return readdirSync(inbox);
  } catch {
    return [];
  }
}

/** `none`: it is no note. `undefined`: it is gone already, or cannot be read. */
function noteIn(path: string): InboxNote | 'none' | undefined {
  const bytes = bytesOf(path);
  if (bytes === undefined || bytes === 'none') return bytes;
  const { kind, fields } = parseRecord(bytes) ?? {};
  if (typeof kind !== 'string' || !KINDS.includes(kind) || !isRecord(fields)) return 'none';
  const known = Object.entries(fields).filter(([name, value]) => FIELD.test(name) && isScalar(value));
  return known.length === 0
    ? 'none'
    : { path, kind: kind as NoteKind, fields: Object.fromEntries(known) as ControlFields };
}

/** A pipe would never end, and a link could lead anywhere: only a file is a note. */
function bytesOf(path: string): Buffer | 'none' | undefined {
  try {
    const found = lstatSync(path);
    return found.isFile() && found.size <= MAX_BYTES ? readFileSync(path) : 'none';
  } catch {
    return undefined;
  }
}

/** Names that a control record's own first fields do not have. */
const FIELD = /^(?!(?:v|kind|log|index|timestamp)$)[a-z][a-z0-9_]{0,40}$/;

function isScalar(value: unknown): boolean {
  return typeof value === 'string' || typeof value === 'boolean' || Number.isSafeInteger(value);
}
