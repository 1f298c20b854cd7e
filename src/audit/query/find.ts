import { InputError } from '../../pdp/errors.ts';
import { type DecisionRecord, isDecision } from '../read/decision-record.ts';
import { type LogSegment, logSegments } from '../read/log-folder.ts';
import { DISORDER_MS, firstTime, segmentsWithin, timeOf } from '../read/segments-within.ts';
import { recordsIn } from './scan.ts';
import { lastRecords } from './tail.ts';

/** A decision with where it is recorded. */
export interface FoundDecision {
  readonly record: DecisionRecord;
  readonly segment: LogSegment;
}

const ID = /^[0-9a-f][0-9a-f-]{7,35}$/;
const MAX_NAMED = 5;

/**
 * The decision whose id begins with `id`, at least 8 characters of it. Ids carry their time (RFC 9562 §5.7): segments of other times are not read.
 * Throws `InputError` where no decision has it, several have, or there is no log.
 */
export async function findDecision(dir: string, id: string): Promise<FoundDecision> {
  const prefix = id.toLowerCase();
  if (!ID.test(prefix))
    throw problem(id, 'is no decision id: give one, or at least the first 8 characters of it');
  const found = await withPrefix(dir, prefix);
  const [first, second] = found;
  if (first === undefined) throw problem(id, await absence(dir, prefix));
  if (second === undefined) return first;
  const named = found.slice(0, MAX_NAMED).map(({ record }) => `${record.decision_id} (${record.timestamp})`);
  const more = found.length > MAX_NAMED ? ' and more' : '';
  throw problem(id, `is the beginning of several: ${named.join(', ')}${more}`);
}

/** The decision of this id; `undefined`: it is not in the log. */
export async function decisionWithId(dir: string, id: string): Promise<FoundDecision | undefined> {
  if (!ID.test(id)) return undefined;
  return (await withPrefix(dir, id)).find(({ record }) => record.decision_id === id);
}

async function withPrefix(dir: string, prefix: string): Promise<readonly FoundDecision[]> {
  const found: FoundDecision[] = [];
  const needle = Buffer.from(`"decision_id":"${prefix}`);
  const { from, to } = timesOf(prefix);
  for (const segment of await segmentsWithin(dir, { from: from - DISORDER_MS, to: to + 1 })) {
    for await (const { record } of recordsIn(segment, {}, needle)) {
      if (!isDecision(record) || !record.decision_id.startsWith(prefix)) continue;
      found.push({ record, segment });
      if (found.length > MAX_NAMED) return found;
    }
  }
  return found;
}

/** The first and the last instant that ids with this beginning can have, in Unix ms. */
function timesOf(prefix: string): { readonly from: number; readonly to: number } {
  const digits = prefix.replaceAll('-', '').slice(0, 12);
  return {
    from: Number.parseInt(digits.padEnd(12, '0'), 16),
    to: Number.parseInt(digits.padEnd(12, 'f'), 16),
  };
}

async function absence(dir: string, prefix: string): Promise<string> {
  const [oldest] = logSegments(dir);
  const { records } = await lastRecords(dir, 1, { text: '', matches: () => true });
  const begin = oldest && (await firstTime(oldest));
  const end = records[0] && timeOf(records[0].record);
  const covered = `the log covers ${timeText(begin)} to ${timeText(end)}`;
  const { from } = timesOf(prefix);
  return `no decision has this id; ${covered}, and the id is of ${timeText(from)}`;
}

function timeText(time: number | undefined): string {
  return time === undefined ? '?' : new Date(time).toISOString();
}

function problem(where: string, message: string): InputError {
  return new InputError('no such decision:', [{ where, message }]);
}
