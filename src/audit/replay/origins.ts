import { type DecisionRecord, isDecision, parseRecord } from '../read/decision-record.ts';
import type { LogSegment } from '../read/log-folder.ts';
import type { Pack } from '../read/pack.ts';
import { isAbsence, linesOf } from '../read/segment-source.ts';
import { timeOf, timeOfId } from '../read/segments-within.ts';
import { packFor } from './pack-for.ts';

/** Where decisions are looked for. */
export interface LookUp {
  readonly segments: readonly LogSegment[];
  /** Position of the segment to begin with; the search goes back from there. */
  readonly at: number;
  /** The whole pack of that segment, where it is at hand. */
  readonly pack?: Pack;
  readonly signal?: AbortSignal;
}

/** How much longer before than its id says a decision is looked for: clocks are set, and answers take their time. */
const MARGIN_MS = 10 * 60_000;

/**
 * Looks decisions up by their ids, in a segment and those before it, and hands each to `visit` with a pack that holds what it refers to. Ends
 * when all are found, or when the segments are older than the ids (UUIDv7) by ten minutes.
 */
export async function findDecisions(
  { segments, at, pack, signal }: LookUp,
  ids: ReadonlySet<string>,
  visit: (record: DecisionRecord, pack: Pack) => void,
): Promise<void> {
  const missing = new Set(ids);
  const oldest = Math.min(...[...ids].map((id) => timeOfId(id) ?? 0)) - MARGIN_MS;
  for (let i = at; i >= 0 && missing.size > 0; i -= 1) {
    const segment = segments[i];
    if (segment === undefined || signal?.aborted) return;
    const found = await lookedThrough(segment, missing, i === at ? pack : undefined);
    // Retention removes the oldest first: where one was removed meanwhile, so were those before it.
    if (!found) return;
    for (const record of found.records) visit(record, found.pack);
    if (found.since < oldest) return;
  }
}

/** `undefined`: the segment was removed since the folder was listed. */
async function lookedThrough(segment: LogSegment, missing: Set<string>, pack: Pack | undefined) {
  try {
    const found = await decisionsIn(segment, missing);
    return { ...found, pack: pack ?? (await packFor(segment.pack, found.records)) };
  } catch (error) {
    if (isAbsence(error)) return undefined;
    throw error;
  }
}

interface Found {
  readonly records: readonly DecisionRecord[];
  /** Unix ms of its first record; `Infinity` where that says none. */
  readonly since: number;
}

async function decisionsIn(segment: LogSegment, missing: Set<string>): Promise<Found> {
  const records: DecisionRecord[] = [];
  let since: number | undefined;
  for await (const { lines, torn } of linesOf(segment)) {
    if (torn) break;
    for (const line of lines) {
      since ??= timeOf(parseRecord(line) ?? {}) ?? Number.POSITIVE_INFINITY;
      const id = idIn(line);
      if (id === undefined || !missing.has(id)) continue;
      const record = parseRecord(line);
      if (!record || !isDecision(record) || record.decision_id !== id) continue;
      missing.delete(id);
      records.push(record);
    }
    if (missing.size === 0) break;
  }
  return { records, since: since ?? Number.POSITIVE_INFINITY };
}

const MARK = '"decision_id":"';

/** The id in a line, without parsing all of it. */
function idIn(line: Buffer): string | undefined {
  const at = line.indexOf(MARK);
  if (at === -1) return undefined;
  const start = at + MARK.length;
  return line.toString('latin1', start, line.indexOf('"', start));
}
