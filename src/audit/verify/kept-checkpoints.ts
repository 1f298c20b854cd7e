import { statSync } from 'node:fs';
import { join } from 'node:path';
import { messageOf } from '../../pdp/errors.ts';
import { type LineSource, readLines } from '../read/line-reader.ts';
import type { SealedCheckpoint } from '../tlog/epoch.ts';
import type { Findings } from './findings.ts';
import { isRefusal } from '../read/segment-source.ts';
import { type LogTrust, openUnder } from './trust.ts';

const NAME = 'checkpoints.log';

/** The file of the checkpoints that a log has kept, as far as it is now; `undefined`: there is none. */
export function keptCheckpointsFile(dir: string): LineSource | undefined {
  const path = join(dir, NAME);
  const found = statSync(path, { throwIfNoEntry: false });
  if (found === undefined) return undefined;
  return found.isFile() ? { path, end: found.size } : { path };
}

/**
 * The checkpoints that a log has kept, in their order. What is no checkpoint of this log is a finding, and so is one that is older than the
 * one before it: a log only grows.
 */
export async function* keptCheckpoints(
  source: LineSource | undefined,
  trust: LogTrust,
  findings: Findings,
): AsyncGenerator<SealedCheckpoint> {
  let [size, time] = [0, 0];
  for await (const { note, line } of notesAsFarAs(source, findings)) {
    const opened = open(note, line, trust, findings);
    if (opened === undefined) continue;
    if (opened.size < size)
      findings.add('integrity', 'failed', `a checkpoint over ${opened.size} records after one over ${size}`, {
        file: NAME,
        line,
      });
    if (opened.time < time)
      findings.add(
        'integrity',
        'failed',
        `a checkpoint of ${new Date(opened.time).toISOString()} after one of ${new Date(time).toISOString()}`,
        { file: NAME, line },
      );
    size = Math.max(size, opened.size);
    time = Math.max(time, opened.time);
    yield opened;
  }
}

function open(note: string, line: number, trust: LogTrust, findings: Findings): SealedCheckpoint | undefined {
  try {
    return openUnder(trust, note);
  } catch (error) {
    findings.add('integrity', 'failed', `a kept checkpoint: ${messageOf(error)}`, { file: NAME, line });
    return undefined;
  }
}

interface NoteAt {
  readonly note: string;
  /** Where it begins, 1-based. */
  readonly line: number;
}

/** What cannot be read to its end is damaged; what comes before it counts. */
async function* notesAsFarAs(source: LineSource | undefined, findings: Findings): AsyncGenerator<NoteAt> {
  try {
    yield* notes(source);
  } catch (error) {
    if (isRefusal(error)) throw error;
    findings.add('integrity', 'failed', `it cannot be read to its end (${messageOf(error)})`, { file: NAME });
  }
}

/** A note ends where a blank line follows signatures. What a crash left of a last one is left out. */
async function* notes(source: LineSource | undefined): AsyncGenerator<NoteAt> {
  if (source === undefined) return;
  let note: string[] = [];
  let number = 0;
  for await (const { lines, torn } of readLines(source)) {
    if (torn) return;
    for (const bytes of lines) {
      number += 1;
      const text = bytes.toString();
      const ends = text === '' && note.at(-1)?.startsWith(SIGNATURE) === true;
      if (ends || note.length > MAX_LINES) {
        yield { note: `${note.join('\n')}\n`, line: number - note.length };
        note = [];
      } else note.push(text);
    }
  }
}

const SIGNATURE = '— ';
/** More than a note of ours has: what goes on is none. */
const MAX_LINES = 200;
