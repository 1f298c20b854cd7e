import { hash } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import type { CedarRequest } from '../../pdp/evaluation.ts';
import type { PolicySnapshot } from '../../pdp/policy-snapshot.ts';
import {
  type DecisionRecord,
  type LogRecord,
  isAsWritten,
  isDecision,
  parseRecord,
} from '../read/decision-record.ts';
import type { LogSegment } from '../read/log-folder.ts';
import { type Pack, loadPack } from '../read/pack.ts';
import { isUnanswerable, questionOf } from '../read/question.ts';
import { linesOf, segmentSource } from '../read/segment-source.ts';
import { findDecisions } from '../replay/origins.ts';
import { type PolicyLibrary, createPolicyLibrary } from '../replay/recorded-policies.ts';
import {
  type Origin,
  type Replayer,
  type ReplayerOptions,
  type Waiting,
  createReplayer,
} from '../replay/replayer.ts';
import { SegmentFacts, whyOf } from '../replay/segment-facts.ts';
import { type NotReplayable, type Verdict, notReplayable } from '../replay/verdict.ts';
import { type Diffed, cannotTell, diffEvaluated, diffStage } from './diff-record.ts';
import type { Judge } from './judge.ts';

/** Which decisions are compared; all, unless it says otherwise. */
export interface DiffFilter {
  /** Only decisions at this time (RFC 3339 in UTC, with milliseconds) or later. */
  readonly from?: string;
  /** Only decisions before this time. */
  readonly to?: string;
  /** Share of the decisions, 0 to 1, drawn by their ids: the same ones each time. */
  readonly sample?: number;
}

/** Told of what becomes of the records. */
export interface DiffListener {
  diffed(diffed: Diffed): void;
  /** A line that holds no decision record that can be read. */
  unreadable(why: NotReplayable): void;
  /** A decision that nobody acted on: it was made in shadow, or to be explained. */
  aside(kind: 'shadow' | 'explained'): void;
}

/** A decision whose answer later ones may reuse, with the question that it answered. */
interface Held {
  readonly record: DecisionRecord;
  readonly origin: Origin;
  readonly question: CedarRequest | NotReplayable;
}

const MAX_HELD = 20_000;
const MAX_HELD_CHARS = 64 * 1024 * 1024;
/** Records that wait for a decision that is to be looked up again. */
const MAX_WAITING = 2000;

/** Compares segment after segment. What it remembers is bounded. */
export class DiffWalk {
  readonly #replayer: Replayer;
  readonly #library: PolicyLibrary = createPolicyLibrary();
  readonly #held = new LRUCache<string, Held>({ max: MAX_HELD, maxSize: MAX_HELD_CHARS });
  readonly #judge: Judge;
  readonly #listener: DiffListener;
  #lastSnapshot: string | undefined;

  constructor(options: ReplayerOptions, judge: Judge, listener: DiffListener) {
    this.#replayer = createReplayer(options);
    this.#judge = judge;
    this.#listener = listener;
  }

  /**
   * Compares the decisions of the segment at a position, those that are there now. A last line without its line feed is being written: it is left out. Throws
   * the system's error, and where a file of the segment is not there, before anything is told.
   */
  async segment(segments: readonly LogSegment[], at: number, filter: DiffFilter = {}): Promise<void> {
    const segment = segments[at];
    if (segment === undefined) return;
    const source = segmentSource(segment);
    const facts = new SegmentFacts(await loadPack(source.pack), this.#library);
    const place: Place = { segments, at, facts, waiting: [], stages: [], snapshots: new Set() };
    if (this.#lastSnapshot !== undefined) place.snapshots.add(this.#lastSnapshot);
    for await (const { lines, torn } of linesOf(source.lines)) {
      if (torn) break;
      for (const line of lines) {
        const record = parseRecord(line);
        if (!isWanted(record, filter)) continue;
        if (record && !isAsWritten(line, record)) this.#listener.unreadable(notReplayable('malformed'));
        else await this.#record(record, place);
      }
      if (place.waiting.length >= MAX_WAITING) await this.#lookAgain(place);
      if (place.stages.length >= MAX_WAITING) this.#tellStages(place);
    }
    await this.#lookAgain(place);
    this.#tellStages(place);
  }

  async #record(record: LogRecord | undefined, place: Place): Promise<void> {
    if (record?.['shadow_of'] !== undefined) return this.#listener.aside('shadow');
    if (record?.['explained'] === true) return this.#listener.aside('explained');
    const replayed = this.#replayer.replay(record, place.facts);
    if (replayed === undefined) return;
    if (!('verdict' in replayed)) return await this.#reuse(replayed, place);
    const { verdict, origin } = replayed;
    // What the fields of another version mean is not known.
    if (!record || !isDecision(record) || ('why' in verdict && verdict.why === 'unknown_version')) {
      if ('why' in verdict) this.#listener.unreadable(verdict);
      return;
    }
    this.#noteSnapshot(record, place);
    if (!origin) return void place.stages.push({ record, verdict });
    await this.#evaluated(record, verdict, this.#hold(record, origin, place.facts), place);
  }

  #noteSnapshot({ snapshot }: DecisionRecord, { snapshots }: Place): void {
    if (typeof snapshot !== 'string') return;
    snapshots.add(snapshot);
    this.#lastSnapshot = snapshot;
  }

  /** What refused before it knew of policies does not say which were in force: any of those around it. */
  #tellStages(place: Place): void {
    for (const { record, verdict } of place.stages.splice(0)) {
      const { snapshot } = record;
      const digests = typeof snapshot === 'string' ? [snapshot] : [...place.snapshots];
      const pack = place.facts.pack;
      const diffed =
        'why' in verdict
          ? cannotTell({ record }, verdict)
          : diffStage({ record, pack, verdict }, snapshotsOf(digests, place.facts), this.#judge);
      this.#listener.diffed(diffed);
    }
  }

  async #reuse(waiting: Waiting, place: Place): Promise<void> {
    const held = this.#held.get(waiting.of);
    if (held) await this.#evaluated(waiting.record, this.#replayer.reuse(waiting, held.origin), held, place);
    else place.waiting.push(waiting);
  }

  /** Answers that were reused and are not at hand: from the log. */
  async #lookAgain(place: Place): Promise<void> {
    const waiting = place.waiting.splice(0);
    if (waiting.length === 0) return;
    const found = new Map<string, Held>();
    const packs = new Map<Pack, SegmentFacts>([[place.facts.pack, place.facts]]);
    const visit = (record: DecisionRecord, pack: Pack): void => {
      const facts = packs.get(pack) ?? new SegmentFacts(pack, this.#library);
      packs.set(pack, facts);
      found.set(record.decision_id, this.#hold(record, this.#replayer.origin(record, facts), facts));
    };
    const { segments, at, facts } = place;
    await findDecisions({ segments, at, pack: facts.pack }, new Set(waiting.map(({ of }) => of)), visit);
    for (const one of waiting) {
      const held = found.get(one.of);
      await this.#evaluated(one.record, this.#replayer.reuse(one, held?.origin), held, place);
    }
  }

  #hold(record: DecisionRecord, origin: Origin, facts: SegmentFacts): Held {
    const question = questionOf(record, facts.pack);
    const held: Held = {
      record,
      origin,
      question: isUnanswerable(question) ? notReplayable(whyOf(question), question.digest) : question,
    };
    this.#held.set(record.decision_id, held, { size: JSON.stringify([record, held.question]).length });
    return held;
  }

  async #evaluated(
    record: DecisionRecord,
    verdict: Verdict,
    held: Held | undefined,
    { facts }: Place,
  ): Promise<void> {
    if ('why' in verdict) return this.#listener.diffed(cannotTell({ record }, verdict));
    // Replay has told all else that may be wrong with them by now.
    const missing = notReplayable('inputs_missing');
    const { question = missing, origin, record: evaluated = record } = held ?? {};
    const answer = origin?.answer ?? missing;
    const problem = 'why' in question ? question : 'why' in answer ? answer : undefined;
    if (problem || 'why' in question || 'why' in answer)
      return this.#listener.diffed(cannotTell({ record, evaluated }, problem ?? missing));
    const one = { record, evaluated, pack: facts.pack, question, answer, verdict };
    this.#listener.diffed(await diffEvaluated(one, this.#judge));
  }
}

/** Where in the log the comparison is. */
interface Place {
  readonly segments: readonly LogSegment[];
  readonly at: number;
  readonly facts: SegmentFacts;
  readonly waiting: Waiting[];
  /** Decisions that stages made, until it is known which policies are around them. */
  readonly stages: { readonly record: DecisionRecord; readonly verdict: Verdict }[];
  /** Digests of the policies that were in force. */
  readonly snapshots: Set<string>;
}

/** All of them, or none where one is not there. */
function snapshotsOf(digests: readonly string[], facts: SegmentFacts): readonly PolicySnapshot[] {
  const found: PolicySnapshot[] = [];
  for (const digest of digests) {
    const policies = facts.policies(digest);
    if ('why' in policies) return [];
    found.push(policies.snapshot());
  }
  return found;
}

/** A record without a time cannot be told to be another: it is compared, which says what it lacks. */
function isWanted(record: LogRecord | undefined, { from, to, sample = 1 }: DiffFilter): boolean {
  const { timestamp, decision_id: id } = record ?? {};
  if (sample < 1 && (typeof id !== 'string' || shareOf(id) >= sample)) return false;
  if (typeof timestamp !== 'string') return true;
  return (from === undefined || timestamp >= from) && (to === undefined || timestamp < to);
}

/** A number from 0 to 1 that an id always has. */
function shareOf(id: string): number {
  return Number.parseInt(hash('sha256', id).slice(0, 8), 16) / 2 ** 32;
}
