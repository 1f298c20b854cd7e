import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { expect } from 'vitest';
import type { LogWriterOptions } from '../../../../src/audit/log/log-writer-options.ts';
import type { LogWriter } from '../../../../src/audit/log/log-writer.ts';
import { segmentsOf } from '../../../../src/audit/log/segments.ts';
import { NODE_SEAL_FS, type SealFs } from '../../../../src/audit/seal/seal-fs.ts';
import { SealLoop } from '../../../../src/audit/seal/seal-loop.ts';
import type { SealSettings } from '../../../../src/audit/seal/seal-messages.ts';
import { CompactRange } from '../../../../src/audit/tlog/compact-range.ts';
import {
  type SealedCheckpoint,
  openEpochCertificate,
  openSealedCheckpoint,
} from '../../../../src/audit/tlog/epoch.ts';
import { leafHash } from '../../../../src/audit/tlog/hash.ts';
import { parseVerifierKey } from '../../../../src/audit/tlog/note-key.ts';
import { type ManualClock, createManualClock } from '../../../support/clock.ts';
import { line, openWriter, tempDir } from '../log-fixture.ts';

/** Name of the log that tests write. */
export const ORIGIN = 'example.com/pdp/test';

/** A log that is written and sealed by hand. */
export interface SealedLog {
  readonly dir: string;
  readonly writer: LogWriter;
  readonly clock: ManualClock;
  readonly settings: SealSettings;
  /** What seals it now. */
  loop: SealLoop;
  /** Appends so many decisions. */
  append(count: number): Promise<void>;
  /** Seals until nothing waits, and lets the records that were asked for come to the log and be sealed too. */
  seal(): Promise<void>;
  /** A new run of the sealer over the same folder. */
  restart(fs?: SealFs): void;
}

/** What is special about a log. */
export interface SealedLogOptions {
  readonly settings?: Partial<SealSettings>;
  readonly writer?: Partial<LogWriterOptions>;
  readonly fs?: SealFs;
  readonly dir?: string;
  readonly identityFile?: string;
}

/** The settings that tests share. */
export function settingsFor(dir: string, identityFile = join(tempDir(), 'identity.pem')): SealSettings {
  return {
    dir,
    origin: ORIGIN,
    identityFile,
    epochMs: 24 * 3_600_000,
    checkpointMs: 100,
    compress: false,
    retention: {},
    sinks: [],
  };
}

/** Opens a log, with a sealer on the clock of the test. */
export async function openSealedLog(options: SealedLogOptions = {}): Promise<SealedLog> {
  const { dir = tempDir(), identityFile } = options;
  const clock = createManualClock(Date.UTC(2026, 0, 2));
  const writer = await openWriter(dir, { clock, ...options.writer });
  const settings = { ...settingsFor(dir, identityFile), ...options.settings };
  const begin = (fs?: SealFs) =>
    new SealLoop({
      settings,
      clock,
      fs: fs ?? options.fs ?? NODE_SEAL_FS,
      committed: () => writer.committed.read(),
      announce: (kind, fields) => writer.appendControl(kind, fields),
    });
  const log: SealedLog = {
    dir,
    writer,
    clock,
    settings,
    loop: begin(),
    append: async (count) => {
      await Promise.all(Array.from({ length: count }, (_, at) => writer.append(line(`d${at}`))));
    },
    async seal() {
      while (log.loop.round());
      await writer.appendControl('heartbeat', { uptime_s: 1 });
      // What a round asks for, the next one sees in the log, and the one after knows to be sealed.
      for (let round = 0; round < 2; round++) while (log.loop.round());
    },
    restart: (fs) => {
      log.loop = begin(fs);
    },
  };
  return log;
}

/** Makes the identity key that tests share with a process of theirs. */
export { prepareIdentity } from '../../../../src/audit/seal/log-identity.ts';

/** The newest checkpoint of a log, opened under the keys in its folder. */
export function checkpointOf(dir: string): SealedCheckpoint {
  return openedIn(dir, readFileSync(join(dir, 'checkpoint')));
}

/** Opens a checkpoint under the keys in a log's folder. */
export function openedIn(dir: string, note: Uint8Array | string): SealedCheckpoint {
  const keys = join(dir, 'keys');
  const identity = parseVerifierKey(readFileSync(join(keys, 'identity.vkey'), 'utf8'));
  const notes = readdirSync(keys).filter((name) => name.endsWith('.note'));
  const certificates = notes.map((name) => openEpochCertificate(readFileSync(join(keys, name)), identity));
  return openSealedCheckpoint(note, certificates, ORIGIN);
}

/** The exact bytes of every line of a log, in order. */
export function linesOf(dir: string): Buffer[] {
  return segmentsOf(dir, readdirSync(dir)).flatMap(({ path, compressed }) => {
    const bytes = readFileSync(path);
    const lines: Buffer[] = [];
    const text = compressed ? gunzipSync(bytes) : bytes;
    for (let at = 0, end = text.indexOf(10); end !== -1; at = end + 1, end = text.indexOf(10, at))
      lines.push(text.subarray(at, end));
    return lines;
  });
}

/** Expects that the checkpoint is over the first lines of the log, whatever the tiles say. Gives its size. */
export function expectSealed(dir: string): number {
  const { size, root } = checkpointOf(dir);
  const range = new CompactRange();
  for (const bytes of linesOf(dir).slice(0, size)) range.append(leafHash(bytes));
  expect(range.size).toBe(size);
  expect(range.root().equals(root)).toBe(true);
  return size;
}
