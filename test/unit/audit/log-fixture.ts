import { mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import { type LogFs, NODE_LOG_FS } from '../../../src/audit/log/log-fs.ts';
import type { LogWriterOptions } from '../../../src/audit/log/log-writer-options.ts';
import { type LogWriter, openLogWriter } from '../../../src/audit/log/log-writer.ts';
import { segmentsOf } from '../../../src/audit/log/segments.ts';

export { line } from './log-fixture-lines.ts';

/** A fresh directory that goes with the test. */
export function tempDir(): string {
  const dir = mkdtempSync(join(tmpdir(), 'pdp-audit-'));
  onTestFinished(() => rmSync(dir, { recursive: true, force: true, maxRetries: 20 }));
  return dir;
}

/** Opens a writer with the settings that tests share; it is disposed with the test. */
export async function openWriter(dir: string, changes: Partial<LogWriterOptions> = {}): Promise<LogWriter> {
  const writer = await openLogWriter({
    dir,
    log: 'example.com/pdp/test',
    durability: 'written',
    plaintext: ['ops'],
    clock: { now: () => Date.UTC(2026, 0, 2), monotonic: () => 0 },
    logger: { info: () => undefined, warn: () => undefined, error: () => undefined },
    ...changes,
  });
  onTestFinished(() => writer[Symbol.asyncDispose]());
  return writer;
}

/** A record as tests look at it. */
export interface ReadRecord {
  readonly kind: string;
  readonly index: number;
  readonly decision_id?: string;
  readonly count?: number;
  readonly reason?: string;
  readonly bytes_dropped?: number;
  readonly previous_run?: string;
  readonly plaintext?: readonly string[];
}

/** Every record of a log, in order. */
export function records(dir: string): ReadRecord[] {
  return segmentsOf(dir, readdirSync(dir)).flatMap(({ path }) => recordsOf(path));
}

/** Every record of a segment that is not compressed. */
export function recordsOf(path: string): ReadRecord[] {
  return readFileSync(path, 'utf8')
    .split('\n')
    .filter((text) => text !== '')
    .map((text): ReadRecord => JSON.parse(text));
}

/** Path of the last segment. */
export function lastSegment(dir: string): string {
  const segment = segmentsOf(dir, readdirSync(dir)).at(-1);
  if (segment === undefined) throw new Error(`${dir} has no segment`);
  return segment.path;
}

/** The real file system with some operations replaced. */
export function faultyFs(changes: Partial<LogFs>): LogFs {
  return { ...NODE_LOG_FS, ...changes };
}

/** An error as the system gives it. */
export function systemError(code: string): Error {
  return Object.assign(new Error(`${code}: a fault of the test`), { code });
}
