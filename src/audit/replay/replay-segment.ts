import { LRUCache } from 'lru-cache';
import { type DecisionRecord, type LogRecord, isAsWritten, parseRecord } from '../read/decision-record.ts';
import type { LogSegment } from '../read/log-folder.ts';
import { type Pack, loadPack } from '../read/pack.ts';
import { linesOf, segmentSource } from '../read/segment-source.ts';
import { type LookUp, findDecisions } from './origins.ts';
import { type PolicyLibrary, createPolicyLibrary } from './recorded-policies.ts';
import {
  type Origin,
  type Replayer,
  type ReplayerOptions,
  type Waiting,
  createReplayer,
} from './replayer.ts';
import { SegmentFacts } from './segment-facts.ts';
import { type Verdict, notReplayable } from './verdict.ts';

/** Which records are replayed; all, unless it says otherwise. */
export interface ReplayFilter {
  /** Only decisions at this time (RFC 3339 in UTC, with milliseconds) or later. */
  readonly from?: string;
  /** Only decisions before this time. */
  readonly to?: string;
  /** Only the decision with this id. */
  readonly decision?: string;
  /** Share of the records, 0 to 1, drawn by chance. */
  readonly sample?: number;
}

/** Told of each record that was replayed; `undefined`: a line that holds none. */
export type Tell = (record: LogRecord | undefined, verdict: Verdict) => void;

/** Decisions whose answers are at hand for those that reused them. */
const MAX_ORIGINS = 50_000;
/** Records that wait for a decision that is to be looked up again. */
const MAX_WAITING = 5000;

/** Replays segment after segment, on one thread. What it remembers is bounded. */
export class SegmentReplay {
  readonly #replayer: Replayer;
  readonly #library: PolicyLibrary = createPolicyLibrary();
  readonly #origins = new LRUCache<string, Origin>({ max: MAX_ORIGINS });
  readonly #tell: Tell;

  constructor(options: ReplayerOptions, tell: Tell) {
    this.#replayer = createReplayer(options);
    this.#tell = tell;
  }

  /**
   * Replays the records of the segment at a position: those that are there now, for the pack has what they need and no more. A last line without its line feed
   * is being written: it is left out. Throws the system's error, and where a file of the segment is not there, before anything is told.
   */
  async segment(segments: readonly LogSegment[], at: number, filter: ReplayFilter = {}): Promise<void> {
    const segment = segments[at];
    if (segment === undefined) return;
    const source = segmentSource(segment);
    const pack = await loadPack(source.pack);
    const place = new Place({ segments, at, pack }, new SegmentFacts(pack, this.#library));
    for await (const { lines, torn } of linesOf(source.lines)) {
      if (torn) break;
      for (const line of lines) if (isDrawn(line, filter)) this.#line(line, place, filter);
      if (place.waiting.length >= MAX_WAITING) await this.#lookAgain(place);
    }
    await this.#lookAgain(place);
  }

  /**
   * Replays some lines of a segment; `pack` holds what they refer to. Nothing that was read before counts: whether it is still there is part of
   * what is asked. Once the signal is aborted, lines are left out.
   */
  async lines(lines: readonly Buffer[], where: Omit<LookUp, 'pack'>, pack: Pack): Promise<void> {
    this.#origins.clear();
    const place = new Place(where, new SegmentFacts(pack, this.#library));
    for (const line of lines) if (!where.signal?.aborted) this.#line(line, place, {});
    await this.#lookAgain(place);
  }

  #line(line: Buffer, place: Place, filter: ReplayFilter): void {
    const record = parseRecord(line);
    if (!isWanted(record, filter)) return;
    if (record && !isAsWritten(line, record)) return this.#tell(record, notReplayable('malformed'));
    const replayed = this.#replayer.replay(record, place.facts);
    if (replayed === undefined) return;
    if ('verdict' in replayed) {
      const { verdict, origin } = replayed;
      if (origin) this.#origins.set(idOf(record), origin);
      return this.#tell(record, verdict);
    }
    const origin = this.#origins.get(replayed.of);
    if (origin) this.#tell(record, this.#replayer.reuse(replayed, origin));
    else place.waiting.push(replayed);
  }

  /** Answers that were reused and are not at hand: from the log. */
  async #lookAgain(place: Place): Promise<void> {
    const waiting = place.waiting.splice(0);
    if (waiting.length === 0) return;
    const origins = new Map<string, Origin>();
    const packs = new Map<Pack, SegmentFacts>([[place.facts.pack, place.facts]]);
    const visit = (record: DecisionRecord, pack: Pack): void => {
      const facts = packs.get(pack) ?? new SegmentFacts(pack, this.#library);
      packs.set(pack, facts);
      origins.set(record.decision_id, this.#replayer.origin(record, facts));
    };
    await findDecisions(place.where, new Set(waiting.map(({ of }) => of)), visit);
    // Cut short: what was not looked for is not missing.
    if (place.where.signal?.aborted) return;
    for (const hit of waiting) this.#tell(hit.record, this.#replayer.reuse(hit, origins.get(hit.of)));
    for (const [id, origin] of origins) this.#origins.set(id, origin);
  }
}

/** Where in the log replay is. */
class Place {
  readonly where: LookUp;
  readonly facts: SegmentFacts;
  readonly waiting: Waiting[] = [];

  constructor(where: LookUp, facts: SegmentFacts) {
    this.where = where;
    this.facts = facts;
  }
}

/** What can be told before a line is parsed. */
function isDrawn(line: Buffer, { decision, sample = 1 }: ReplayFilter): boolean {
  if (decision !== undefined && !line.includes(decision)) return false;
  return sample >= 1 || Math.random() < sample;
}

/** A record without a time, or without an id, cannot be told to be another: it is replayed, which says what it lacks. */
function isWanted(record: LogRecord | undefined, { from, to, decision }: ReplayFilter): boolean {
  const { timestamp, decision_id: id } = record ?? {};
  if (decision !== undefined && id !== decision) return false;
  if (typeof timestamp !== 'string') return true;
  return (from === undefined || timestamp >= from) && (to === undefined || timestamp < to);
}

function idOf(record: LogRecord | undefined): string {
  return String(record?.['decision_id']);
}
