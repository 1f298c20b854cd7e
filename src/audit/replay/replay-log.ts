import { Worker } from 'node:worker_threads';
import type { LogSegment } from '../read/log-folder.ts';
import { rangeAround, segmentsWithin } from '../read/segments-within.ts';
import { rangeBetween } from '../read/time-range.ts';
import { type Job, type JobData, type JobMessage, type JobOrder, createJob } from './job.ts';
import type { ReplayFilter } from './replay-segment.ts';
import type { HttpStatusOf } from './replayer.ts';
import { statusTable } from './status-table.ts';
import { type Tally, addTally, emptyTally, recordsIn } from './tally.ts';

/** What a replay of a log needs, and how it is done. */
export interface ReplayLogOptions {
  readonly httpStatus: HttpStatusOf;
  /** Name and version of the engine that is installed here, as records name it. */
  readonly engine: string;
  /** Which records. */
  readonly filter?: ReplayFilter;
  /** Whether equal questions are evaluated once. Default true. */
  readonly memo?: boolean;
  /** Threads that share the segments. Default 1: the one that asks. */
  readonly jobs?: number;
  /** Told now and then how many records have been replayed. */
  readonly onProgress?: (records: number) => void;
}

/** What came of a replay. */
export interface ReplayReport {
  readonly tally: Tally;
  readonly segments: number;
  readonly durationMs: number;
  /** Threads that worked. */
  readonly jobs: number;
}

/** Evaluations that each thread remembers. */
const MEMO = 50_000;

/** Replays a decision log. Throws `InputError` where there is none, and the system's error where a file cannot be read. */
export async function replayLog(dir: string, options: ReplayLogOptions): Promise<ReplayReport> {
  const started = performance.now();
  const { httpStatus, engine, filter = {}, memo = true, onProgress } = options;
  const { decision } = filter;
  const range = decision === undefined ? rangeBetween(filter) : rangeAround(decision);
  const segments = await segmentsWithin(dir, range);
  const data = { dir, engine, filter, status: statusTable(httpStatus), memo: memo ? MEMO : 0 };
  let records = 0;
  const progress = (more: number): void => onProgress?.((records += more));
  const jobs = Math.max(1, Math.min(options.jobs ?? 1, segments.length));
  const run = { segments, data, progress };
  const tally = jobs === 1 ? await replayHere(run) : await replayInThreads(run, jobs);
  return { tally, segments: segments.length, durationMs: performance.now() - started, jobs };
}

interface Run {
  readonly segments: readonly LogSegment[];
  readonly data: JobData;
  readonly progress: (records: number) => void;
}

async function replayHere({ segments, data, progress }: Run): Promise<Tally> {
  const job = createJob(data, progress);
  return await replayAll({ segments, data, progress }, [job]);
}

async function replayInThreads(run: Run, jobs: number): Promise<Tally> {
  const threads = Array.from({ length: jobs }, () => new JobThread(run.data, run.progress));
  try {
    return await replayAll(run, threads);
  } finally {
    await Promise.all(threads.map((thread) => thread.end()));
  }
}

/** Each takes the next segment when it is done with one. */
async function replayAll({ segments, data }: Run, jobs: readonly Job[]): Promise<Tally> {
  const tally = emptyTally();
  const waiting = segments.map(({ firstIndex }) => firstIndex);
  const found = (): boolean => data.filter.decision !== undefined && recordsIn(tally) > 0;
  const work = async (job: Job): Promise<void> => {
    for (let next = waiting.shift(); next !== undefined && !found(); next = waiting.shift())
      addTally(tally, await job.run(next));
  };
  await Promise.all(jobs.map(work));
  return tally;
}

/** The same file as built or as source, whichever runs. */
const WORKER = new URL(
  import.meta.url.endsWith('.ts') ? './replay-worker.ts' : './replay-worker.js',
  import.meta.url,
);

/** A job in a thread of its own. */
class JobThread implements Job {
  readonly #worker: Worker;
  #running: PromiseWithResolvers<Tally> | undefined;

  constructor(data: JobData, progress: (records: number) => void) {
    this.#worker = new Worker(WORKER, { workerData: data, resourceLimits: { stackSizeMb: 8 } });
    this.#worker.on('message', (message: JobMessage) => {
      if (message.kind === 'progress') progress(message.records);
      else this.#running?.resolve(message.tally);
    });
    this.#worker.on('error', (error) => this.#running?.reject(error));
    this.#worker.on('exit', () => this.#running?.reject(new Error('a thread that replays ended early')));
  }

  async run(firstIndex: number): Promise<Tally> {
    this.#running = Promise.withResolvers<Tally>();
    this.#worker.postMessage({ firstIndex } satisfies JobOrder);
    return await this.#running.promise;
  }

  async end(): Promise<void> {
    await this.#worker.terminate();
  }
}
