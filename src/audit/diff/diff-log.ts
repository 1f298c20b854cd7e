import type { PolicySnapshot } from '../../pdp/policy-snapshot.ts';
import { LiveSegments } from '../read/live-segments.ts';
import { segmentsWithin } from '../read/segments-within.ts';
import { rangeBetween } from '../read/time-range.ts';
import type { HttpStatusOf } from '../replay/replayer.ts';
import type { CurrentFacts } from './current-facts.ts';
import { Judge } from './judge.ts';
import { type DiffTally, count, countUnreadable, emptyTally } from './tally.ts';
import { type DiffFilter, DiffWalk } from './walk.ts';

/** What a comparison needs, and how it is done. */
export interface DiffLogOptions {
  /** The policies that are compared with those of then. */
  readonly next: PolicySnapshot;
  /** Information points to ask; absent: facts are those that were recorded. */
  readonly facts?: CurrentFacts;
  readonly httpStatus: HttpStatusOf;
  /** Name and version of the engine that is installed here, as records name it. */
  readonly engine: string;
  /** Which decisions. */
  readonly filter?: DiffFilter;
  /** Told now and then how far it is. */
  readonly onProgress?: (progress: DiffProgress) => void;
}

/** How far a comparison is. */
export interface DiffProgress {
  /** Decisions that have been compared. */
  readonly decisions: number;
  /** Segments that have been read whole. */
  readonly read: number;
  readonly segments: number;
}

/** What came of a comparison. */
export interface DiffReport {
  readonly tally: DiffTally;
  /** Digest of the new policies. */
  readonly policies: string;
  readonly facts: 'frozen' | 'current';
  readonly segments: number;
  readonly durationMs: number;
}

const PROGRESS_EVERY = 1000;
const MEMO = 50_000;

/**
 * Says what the decisions of a log would have come to under other policies. Reads it once, front to back, in bounded memory. Throws `InputError`
 * where there is no log, and the system's error where a file cannot be read.
 */
export async function diffLog(dir: string, options: DiffLogOptions): Promise<DiffReport> {
  const started = performance.now();
  const { next, facts, httpStatus, engine, filter = {}, onProgress } = options;
  const live = new LiveSegments(dir);
  const segments = await segmentsWithin(dir, rangeBetween(filter));
  const tally = emptyTally();
  let decisions = 0;
  let read = 0;
  const tell = (): void => onProgress?.({ decisions, read, segments: segments.length });
  const walk = new DiffWalk({ httpStatus, engine, memo: MEMO }, new Judge(next, facts), {
    diffed(diffed) {
      count(tally, diffed);
      decisions += 1;
      if (decisions % PROGRESS_EVERY === 0) tell();
    },
    unreadable: (why) => countUnreadable(tally, why),
    aside: (kind) => void (tally.aside[kind] += 1),
  });
  for (const { firstIndex } of segments) {
    await live.read(firstIndex, (all, at) => walk.segment(all, at, filter));
    read += 1;
    tell();
  }
  return {
    tally,
    policies: next.digest,
    facts: facts ? 'current' : 'frozen',
    segments: segments.length,
    durationMs: performance.now() - started,
  };
}
