import type { Committed } from '../log/commit-position.ts';
import { parseRecord } from '../read/decision-record.ts';
import { type LogSegment, logSegments } from '../read/log-folder.ts';
import { type LineRange, sampleLines } from './line-sampler.ts';
import { isAbsence } from '../read/segment-source.ts';
import type { LookUp } from './origins.ts';
import { packFor } from './pack-for.ts';
import { SegmentReplay } from './replay-segment.ts';
import { type StatusTable, statusOf } from './status-table.ts';
import { type Tally, count, emptyTally } from './tally.ts';

/** What the thread that replays what was just written is given. Plain data. */
export interface SelfReplayData {
  readonly dir: string;
  readonly status: StatusTable;
  readonly engine: string;
}

/** One run: so many of the records between two positions, and no longer than so. */
export interface SelfReplayOrder {
  readonly from: Committed;
  readonly to: Committed;
  readonly records: number;
  readonly maxMs: number;
}

/** Evaluations that are remembered from run to run: none, for the memory would be checked rather than the log. */
const MEMO = 0;

/** Replays samples of what was written lately. */
export class SelfReplayRuns {
  readonly #dir: string;
  readonly #replay: SegmentReplay;
  #tally: Tally = emptyTally();

  constructor({ dir, status, engine }: SelfReplayData) {
    this.#dir = dir;
    this.#replay = new SegmentReplay(
      { httpStatus: statusOf(status), engine, memo: MEMO },
      (record, verdict) => count(this.#tally, record, verdict),
    );
  }

  /** What came of one run. Rejects where the log cannot be read. */
  async run({ from, to, records, maxMs }: SelfReplayOrder): Promise<Tally> {
    this.#tally = emptyTally();
    const signal = AbortSignal.timeout(maxMs);
    const segments = logSegments(this.#dir);
    const written = to.nextIndex - from.nextIndex;
    for (const [at, range] of rangesOf(segments, from, to)) {
      if (signal.aborted) break;
      const end = segments[at]?.firstIndex === to.segment ? { end: to.packBytes } : {};
      const share = portion(records, range.count / written);
      await this.#sample(range, share, { segments, at, signal }, end).catch(passOverAbsence);
    }
    return this.#tally;
  }

  async #sample(range: LineRange, count: number, where: Omit<LookUp, 'pack'>, end: object): Promise<void> {
    const lines = await sampleLines(range, count);
    const packs = where.segments[where.at]?.pack;
    const sampled = lines.map((line) => parseRecord(line) ?? {});
    const pack = await packFor(packs && { ...packs, ...end }, sampled);
    await this.#replay.lines(lines, where, pack);
  }
}

/** Retention was faster: what is not there any more is not sampled. Whether it should be there, the sealer and `pdp audit verify` say. */
function passOverAbsence(error: unknown): void {
  if (!isAbsence(error)) throw error;
}

/** A share of a number in whole records; what is over counts by chance. */
export function portion(records: number, share: number): number {
  const exact = records * share;
  const whole = Math.floor(exact);
  return whole + (Math.random() < exact - whole ? 1 : 0);
}

/** The lines that were written between two positions, by segment. */
function rangesOf(
  segments: readonly LogSegment[],
  from: Committed,
  to: Committed,
): readonly (readonly [at: number, range: LineRange])[] {
  return segments.flatMap(({ path, compressed, firstIndex }, at) => {
    const first = Math.max(firstIndex, from.nextIndex);
    const next = Math.min(segments[at + 1]?.firstIndex ?? to.nextIndex, to.nextIndex);
    if (next <= first) return [];
    const range: LineRange = {
      path,
      compressed,
      before: first - firstIndex,
      count: next - first,
      start: firstIndex === from.segment ? from.lineBytes : 0,
      ...(firstIndex === to.segment && { end: to.lineBytes }),
    };
    return [[at, range] as const];
  });
}
