import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { type DecisionRecord, isDecision, parseRecord } from '../../../../src/audit/read/decision-record.ts';
import { type LogSegment, logSegments } from '../../../../src/audit/read/log-folder.ts';
import { loadPack } from '../../../../src/audit/read/pack.ts';
import { isUnanswerable, questionOf } from '../../../../src/audit/read/question.ts';
import { type Pseudonyms, createPseudonyms } from '../../../../src/audit/privacy/pseudonyms.ts';
import type { CedarRequest } from '../../../../src/pdp/evaluation.ts';

/** A key of 32 bytes. */
export const KEY = Buffer.alloc(32, 7);

/** Pseudonyms of users and devices. */
export function pseudonymsOf(kinds: readonly string[] = ['user', 'device']): Pseudonyms {
  return createPseudonyms({ key: KEY, epoch: 3, kinds });
}

/** A line with the segment that it is in. */
export interface Placed {
  readonly record: Readonly<Record<string, unknown>>;
  readonly segment: LogSegment;
}

/** Every record of a log, in order. */
export function placed(dir: string): Placed[] {
  return logSegments(dir).flatMap((segment) =>
    textIn(segment.path)
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => ({ record: parseRecord(line) ?? {}, segment })),
  );
}

/** The decisions among them. */
export function decisions(dir: string): { record: DecisionRecord; segment: LogSegment }[] {
  return placed(dir).flatMap(({ record, segment }) => (isDecision(record) ? [{ record, segment }] : []));
}

/** The question that a record and its pack hold; throws where they hold none. */
export async function questionIn({ record, segment }: { record: DecisionRecord; segment: LogSegment }) {
  return questionOf(record, await loadPack(segment.pack));
}

/** The question, which must be there. */
export async function answerable(at: { record: DecisionRecord; segment: LogSegment }): Promise<CedarRequest> {
  const question = await questionIn(at);
  if (isUnanswerable(question)) throw new Error(question.because);
  return question;
}

/** The text of a file, decompressed. */
export function textIn(path: string): string {
  const bytes = readFileSync(path);
  return (path.endsWith('.gz') ? gunzipSync(bytes) : bytes).toString('utf8');
}

/** All lines of a log as text: without the packs. */
export function linesOf(dir: string): string {
  return logSegments(dir)
    .map(({ path }) => textIn(path))
    .join('');
}

/** All packs of a log as text. */
export function packsOf(dir: string): string {
  return readdirSync(dir)
    .filter((name) => name.includes('.blobs'))
    .map((name) => textIn(join(dir, name)))
    .join('');
}
