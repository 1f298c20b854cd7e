import type { LogRecord } from '../read/decision-record.ts';
import { type Timeline, addSpan, addTimeline, emptyTimeline } from './timeline.ts';
import {
  type Means,
  type Mismatch,
  type NotReplayable,
  type NotReplayableWhy,
  type Verdict,
  MEANS,
  NOT_REPLAYABLE,
} from './verdict.ts';

/** A record that is worth being looked at. */
export interface Case<V extends Verdict> {
  readonly index: number | undefined;
  readonly decisionId: string | undefined;
  readonly timestamp: string | undefined;
  readonly verdict: V;
}

/** What came of a run, in numbers. Plain data: it crosses threads. */
export interface Tally {
  match: number;
  mismatch: number;
  notReplayable: number;
  /** Of the records that were replayed, how. */
  readonly by: Record<Means, number>;
  readonly why: Record<NotReplayableWhy, number>;
  /** Mismatches by field. */
  readonly fields: Map<string, number>;
  readonly timeline: Timeline;
  /** The first of them, by index. */
  readonly mismatches: Case<Mismatch>[];
  /** Some of them, of each reason. */
  readonly unreplayed: Case<NotReplayable>[];
  /** Times of the first and the last record, as they say. */
  first: string | undefined;
  last: string | undefined;
}

const MAX_MISMATCHES = 100;
const MAX_UNREPLAYED = 5;
const MAX_FIELDS = 100;

/** A tally of nothing. */
export function emptyTally(): Tally {
  return {
    match: 0,
    mismatch: 0,
    notReplayable: 0,
    by: zeros(MEANS),
    why: zeros(NOT_REPLAYABLE),
    fields: new Map(),
    timeline: emptyTimeline(),
    mismatches: [],
    unreplayed: [],
    first: undefined,
    last: undefined,
  };
}

/** All records of a tally. */
export function recordsIn({ match, mismatch, notReplayable }: Tally): number {
  return match + mismatch + notReplayable;
}

/** Counts one verdict. */
export function count(tally: Tally, record: LogRecord | undefined, verdict: Verdict): void {
  const counts = { match: 0, mismatch: 0, notReplayable: 0 };
  if (verdict.verdict === 'NOT_REPLAYABLE') {
    counts.notReplayable = 1;
    tally.why[verdict.why] += 1;
    if (tally.why[verdict.why] <= MAX_UNREPLAYED) tally.unreplayed.push(caseOf(record, verdict));
  } else {
    counts[verdict.verdict === 'MATCH' ? 'match' : 'mismatch'] = 1;
    tally.by[verdict.by] += 1;
    if (verdict.verdict === 'MISMATCH') addMismatch(tally, caseOf(record, verdict));
  }
  addCounts(tally, counts);
  const timestamp = textIn(record, 'timestamp');
  const time = timestamp === undefined ? Number.NaN : Date.parse(timestamp);
  if (timestamp === undefined || Number.isNaN(time)) return;
  addSpan(tally.timeline, { from: time, ...counts });
  widenRange(tally, timestamp, timestamp);
}

/** Adds a tally to another. */
export function addTally(into: Tally, other: Tally): void {
  addCounts(into, other);
  for (const means of MEANS) into.by[means] += other.by[means];
  for (const why of NOT_REPLAYABLE) into.why[why] += other.why[why];
  for (const [field, found] of other.fields) addField(into, field, found);
  addTimeline(into.timeline, other.timeline);
  into.mismatches.push(...other.mismatches);
  into.mismatches.sort((a, b) => (a.index ?? 0) - (b.index ?? 0)).splice(MAX_MISMATCHES);
  addUnreplayed(into, other.unreplayed);
  if (other.first !== undefined && other.last !== undefined) widenRange(into, other.first, other.last);
}

function zeros<K extends string>(keys: readonly K[]): Record<K, number> {
  return Object.fromEntries(keys.map((key) => [key, 0])) as Record<K, number>;
}

function addCounts(tally: Tally, counts: Pick<Tally, 'match' | 'mismatch' | 'notReplayable'>): void {
  tally.match += counts.match;
  tally.mismatch += counts.mismatch;
  tally.notReplayable += counts.notReplayable;
}

function addMismatch(tally: Tally, found: Case<Mismatch>): void {
  addField(tally, found.verdict.field, 1);
  if (tally.mismatches.length < MAX_MISMATCHES) tally.mismatches.push(found);
}

function addField({ fields }: Tally, field: string, found: number): void {
  const name = fields.has(field) || fields.size < MAX_FIELDS ? field : 'others';
  fields.set(name, (fields.get(name) ?? 0) + found);
}

function addUnreplayed({ unreplayed }: Tally, more: readonly Case<NotReplayable>[]): void {
  for (const one of more) {
    const alike = unreplayed.filter(({ verdict }) => verdict.why === one.verdict.why);
    if (alike.length < MAX_UNREPLAYED) unreplayed.push(one);
  }
}

function widenRange(tally: Tally, first: string, last: string): void {
  if (tally.first === undefined || first < tally.first) tally.first = first;
  if (tally.last === undefined || last > tally.last) tally.last = last;
}

function caseOf<V extends Verdict>(record: LogRecord | undefined, verdict: V): Case<V> {
  const index = record?.['index'];
  return {
    index: typeof index === 'number' ? index : undefined,
    decisionId: textIn(record, 'decision_id'),
    timestamp: textIn(record, 'timestamp'),
    verdict,
  };
}

function textIn(record: LogRecord | undefined, name: string): string | undefined {
  const value = record?.[name];
  return typeof value === 'string' ? value.slice(0, 100) : undefined;
}
