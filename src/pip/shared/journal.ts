import { type FileHandle, open, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { InputError, messageOf } from '../../pdp/errors.ts';
import type { Log } from '../../pdp/log.ts';
import type { SharedEntry } from '../../pdp/shared-state.ts';
import { fileProblem } from '../polled-file.ts';
import { readEntry } from './entry.ts';
import { type JournalLine, journalLines } from './journal-lines.ts';

/** A journal in a file: what is appended survives the process and the machine. */
export interface Journal extends AsyncDisposable {
  /** Appends, each list a line of its own, and resolves when they are on the medium. Rejects with the error of `node:fs`. */
  append(puts: readonly (readonly SharedEntry[])[]): Promise<void>;
}

/** Settings of {@link openJournal}. */
export interface JournalOptions {
  readonly path: string;
  readonly log: Log;
  /** Told of what the journal held when it was opened, a line at a time and in its order. */
  readonly onEntries: (entries: readonly SharedEntry[]) => void;
  /** All that is in force: what the journal comes down to when it is written anew. */
  readonly all: () => Iterable<SharedEntry>;
  /** Bytes below which it is never written anew. Default 1 MiB. */
  readonly compactBytes?: number;
}

const HEADER = '{"journal":"cedar-pdp shared state","v":1}';
const ENTRIES_PER_LINE = 200;
/** Longer than any put, and than any {@link ENTRIES_PER_LINE} entries. */
const MAX_LINE_BYTES = 16 * 1_024 * 1_024;

/**
 * Opens a journal, or begins one. It is NDJSON: a header, then one list of entries for each put, so that a put is there whole or not at all.
 * A torn last line, which nobody was told is safe, is left out with a line in the log. Throws `InputError`, with file and line, for
 * anything else that is not right: entries that go missing may be revocations.
 */
export async function openJournal(options: JournalOptions): Promise<Journal> {
  const isNew = await readJournal(options);
  const journal = new FileJournal(options);
  // What it comes down to is written anew at each start, so that a torn line is gone for good.
  await journal.rewrite().catch((error: unknown) => {
    throw journalError(options.path, `cannot be written: ${messageOf(error)}`);
  });
  if (isNew) options.log.info({ journal: options.path }, 'a new journal of the shared state was begun');
  return journal;
}

function journalError(path: string, message: string, line?: number): InputError {
  return new InputError('the journal of the shared state cannot be used:', [
    { where: path, ...(line !== undefined && { line }), message },
  ]);
}

async function readJournal(options: JournalOptions): Promise<boolean> {
  let isNew = true;
  try {
    for await (const line of journalLines(options.path, MAX_LINE_BYTES)) {
      isNew = false;
      readLine(line, options);
    }
  } catch (error) {
    if (error instanceof InputError) throw error;
    if (error instanceof RangeError) throw journalError(options.path, error.message);
    if (!(error instanceof Error && 'code' in error && error.code === 'ENOENT'))
      throw journalError(options.path, fileProblem(error));
  }
  return isNew;
}

function readLine({ text, number, torn }: JournalLine, { path, log, onEntries }: JournalOptions): void {
  // The header is written before the file has its name: it cannot be torn.
  if (number === 1 && (torn || text !== HEADER))
    throw journalError(path, 'is not a journal of the shared state: the first line is not its header', 1);
  if (number === 1) return;
  if (torn) {
    log.warn(
      { journal: path, line: number },
      'the last line of the journal is torn; it was never confirmed, and is left out',
    );
    return;
  }
  const entries = readPut(text);
  if ('problem' in entries) throw journalError(path, `${entries.problem}; mend or remove the line`, number);
  onEntries(entries);
}

function readPut(text: string): readonly SharedEntry[] | { readonly problem: string } {
  let list: unknown;
  try {
    list = JSON.parse(text);
  } catch {
    return { problem: 'is not JSON' };
  }
  if (!Array.isArray(list)) return { problem: 'is not a list of entries' };
  const entries: SharedEntry[] = [];
  for (const given of list) {
    const entry = readEntry(given);
    if ('problem' in entry) return { problem: `holds an entry that ${entry.problem}` };
    entries.push(entry);
  }
  return entries;
}

function lineOf(entries: readonly SharedEntry[]): string {
  return `${JSON.stringify(entries)}\n`;
}

class FileJournal implements Journal {
  readonly #options: JournalOptions;
  #file: FileHandle | undefined;
  #bytes = 0;
  #rewrittenBytes = 0;

  constructor(options: JournalOptions) {
    this.#options = options;
  }

  async append(puts: readonly (readonly SharedEntry[])[]): Promise<void> {
    const { compactBytes = 1_024 * 1_024 } = this.#options;
    if (this.#bytes > Math.max(compactBytes, 2 * this.#rewrittenBytes)) await this.rewrite();
    // After a failure nobody knows what is on the medium, so the file is not appended to again.
    const file = this.#file ?? (await this.rewrite());
    this.#file = undefined;
    try {
      await this.#assertOurs(file);
      const bytes = Buffer.from(puts.map(lineOf).join(''));
      await file.appendFile(bytes);
      await file.datasync();
      this.#bytes += bytes.length;
      this.#file = file;
    } catch (error) {
      await file.close().catch(() => undefined);
      throw error;
    }
  }

  /** Writes what is in force to a new file, which takes the place of the old one when it is whole and on the medium. */
  async rewrite(): Promise<FileHandle> {
    const { path, all } = this.#options;
    const draft = `${path}.new`;
    await rm(draft, { force: true });
    const file = await open(draft, 'ax', 0o600);
    try {
      const bytes = await writeAll(file, all());
      await file.sync();
      await rename(draft, path);
      await syncFolder(dirname(path));
      await this.#file?.close();
      this.#file = file;
      this.#bytes = this.#rewrittenBytes = bytes;
      return file;
    } catch (error) {
      await file.close().catch(() => undefined);
      throw error;
    }
  }

  /** Bytes that are not ours are of another process, which would lose them at the next rewriting. */
  async #assertOurs(file: FileHandle): Promise<void> {
    const { size, nlink } = await file.stat();
    if (size !== this.#bytes || nlink !== 1)
      throw new Error('another process writes to the journal, or it was removed');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#file?.close();
    this.#file = undefined;
  }
}

async function writeAll(file: FileHandle, entries: Iterable<SharedEntry>): Promise<number> {
  let bytes = 0;
  const write = async (text: string): Promise<void> => {
    const buffer = Buffer.from(text);
    await file.appendFile(buffer);
    bytes += buffer.length;
  };
  await write(`${HEADER}\n`);
  let part: SharedEntry[] = [];
  for (const entry of entries) {
    part.push(entry);
    if (part.length < ENTRIES_PER_LINE) continue;
    await write(lineOf(part));
    part = [];
  }
  if (part.length > 0) await write(lineOf(part));
  return bytes;
}

async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}
