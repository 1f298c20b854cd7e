import { LiveSegments } from '../read/live-segments.ts';
import { type ReplayFilter, SegmentReplay } from './replay-segment.ts';
import { type StatusTable, statusOf } from './status-table.ts';
import { type Tally, count, emptyTally } from './tally.ts';

/** What a thread that replays segments is given. Plain data. */
export interface JobData {
  readonly dir: string;
  readonly status: StatusTable;
  readonly engine: string;
  readonly memo: number;
  readonly filter: ReplayFilter;
}

/** The segment that is next for a thread. */
export interface JobOrder {
  readonly firstIndex: number;
}

/** What a thread reports. `records`: since its last report. */
export type JobMessage =
  { readonly kind: 'progress'; readonly records: number } | { readonly kind: 'done'; readonly tally: Tally };

/** Replays segments, one at a time. */
export interface Job {
  /** Replays the segment with this first index; one that is not there any more is empty. Rejects where it cannot be read. */
  run(firstIndex: number): Promise<Tally>;
}

const PROGRESS_EVERY = 4096;

/** Makes a job. `progress` is told of each few thousand records. */
export function createJob(data: JobData, progress: (records: number) => void): Job {
  const segments = new LiveSegments(data.dir);
  let tally = emptyTally();
  let untold = 0;
  const tell = (): void => {
    progress(untold);
    untold = 0;
  };
  const replay = new SegmentReplay({ ...data, httpStatus: statusOf(data.status) }, (record, verdict) => {
    count(tally, record, verdict);
    untold += 1;
    if (untold >= PROGRESS_EVERY) tell();
  });
  return {
    async run(firstIndex) {
      tally = emptyTally();
      await segments.read(firstIndex, async (all, at) => {
        tally = emptyTally();
        await replay.segment(all, at, data.filter);
      });
      tell();
      return tally;
    },
  };
}
