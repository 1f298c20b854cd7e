import { statSync } from 'node:fs';
import { type Reading, noteReading } from '../audit/query/access-note.ts';
import { isField } from '../audit/query/field-names.ts';
import { hasOperator } from '../audit/query/filter.ts';
import { harmless } from '../audit/query/row.ts';
import { type TimeRange, parseTime } from '../audit/read/time-range.ts';
import { suggestion } from '../pdp/suggest.ts';
import { badUsage } from './ask-server.ts';
import type { Terminal } from './command.ts';
import { durationSeconds } from './duration.ts';

/** What the words of a command line mean. */
export interface LogWords {
  /** The folder of the log; absent: the configured one. */
  readonly dir?: string;
  readonly filters: readonly string[];
}

/** Tells the folder of the log, where the first word names one, from filters. Throws `InputError` for a first word that is neither. */
export function logWords(words: readonly string[]): LogWords {
  const [first, ...filters] = words;
  if (first === undefined) return { filters: [] };
  if (isFolder(first) || (first.includes('/') && !hasOperator(first))) return { dir: first, filters };
  if (!hasOperator(first) && !isField(first.replace(/^!/, '')))
    throw badUsage(first, `is neither a folder nor a filter${suggestion(first, COMMON_FIELDS)}`);
  return { filters: words };
}

const COMMON_FIELDS = [
  'user',
  'decision',
  'reason',
  'policies',
  'kind',
  'path',
  'method',
  'host',
  'resource',
];

function isFolder(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
}

/** The options that say which time is meant. */
export const RANGE_OPTIONS = {
  from: { type: 'string' },
  to: { type: 'string' },
  since: { type: 'string' },
} as const;

/** The values of {@link RANGE_OPTIONS}. */
export interface RangeValues {
  readonly from?: string | undefined;
  readonly to?: string | undefined;
  readonly since?: string | undefined;
}

/** The part of a log that the options mean; `now` in Unix ms. Throws `InputError`. */
export function rangeOf({ from, to, since }: RangeValues, now: number): TimeRange {
  if (since !== undefined && from !== undefined) throw badUsage('--since', 'does not go with --from');
  const begin = since === undefined ? timeOr(from, '--from') : now - durationSeconds(since, '--since') * 1000;
  const end = timeOr(to, '--to');
  if (begin !== undefined && end !== undefined && begin >= end)
    throw badUsage('--to', 'is not after the beginning');
  return { from: begin, to: end };
}

function timeOr(text: string | undefined, option: string): number | undefined {
  return text === undefined ? undefined : parseTime(text, option);
}

/** A whole number of at least `least`. Throws `InputError`, naming the option. */
export function wholeNumber(text: string, option: string, least = 1): number {
  const number = /^\d{1,9}$/.test(text) ? Number(text) : -1;
  if (number < least) throw badUsage(option, `'${text}' is not a whole number of at least ${least}`);
  return number;
}

/** Has a reading recorded in the log, or tells that it is not. */
export function recordReading(dir: string, reading: Reading, terminal: Terminal): void {
  const words = noteReading(dir, reading);
  if (words !== undefined) terminal.err(`pdp: ${harmless(words)}\n`);
}
