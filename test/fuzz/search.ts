import { Worker } from 'node:worker_threads';
import type { Finding, FuzzResult, Progress } from './engine/engine.ts';

/** What a worker is to do. */
export interface SearchOrder {
  readonly target: string;
  readonly seed: number;
  readonly runs?: number;
  readonly milliseconds?: number;
  /** Whether a small corpus is wanted that runs the same code. */
  readonly distil: boolean;
  /** Where the worker says what it puts in: a count, a length, the bytes. */
  readonly current: SharedArrayBuffer;
}

/** A search that has ended. */
export interface SearchResult extends Omit<FuzzResult, 'corpus'> {
  /** How many inputs brought something new. */
  readonly corpus: number;
}

/** What came of an order: a result, and the small corpus where it was asked for. */
export interface SearchOutcome {
  readonly result: SearchResult;
  readonly corpus: readonly Uint8Array[];
}

interface Message {
  readonly progress?: Progress;
  readonly result?: SearchResult;
  readonly corpus?: readonly Uint8Array[];
}

const MAX_INPUT_BYTES = 65_536;
const HANG_MS = 20_000;
const LOOK_MS = 1_000;

/**
 * Searches in a thread of its own. Where one input takes longer than 20 s the thread is ended and that input is the finding. Rejects where
 * the thread fails by itself.
 */
export function search(
  order: Omit<SearchOrder, 'current'>,
  onProgress: (progress: Progress) => void,
): Promise<SearchOutcome> {
  const { promise, resolve, reject } = Promise.withResolvers<SearchOutcome>();
  const current = new SharedArrayBuffer(MAX_INPUT_BYTES + 8);
  const worker = new Worker(new URL('worker.ts', import.meta.url), { workerData: { ...order, current } });
  let last: Progress = {
    executions: 0,
    corpus: 0,
    findings: 0,
    coverage: { modules: 0, covered: 0, total: 0 },
  };
  const watch = watchHang(current, (input) => {
    void worker.terminate();
    resolve({ result: hungResult(order.target, last, input), corpus: [] });
  });
  worker.on('message', ({ progress, result, corpus = [] }: Message) => {
    if (progress) onProgress((last = progress));
    if (result) resolve({ result, corpus });
  });
  worker.on('error', reject);
  worker.on('exit', (code) => {
    clearInterval(watch);
    reject(new Error(`the search in ${order.target} ended by itself (${code})`));
  });
  return promise;
}

function watchHang(current: SharedArrayBuffer, onHang: (input: Uint8Array) => void): NodeJS.Timeout {
  const head = new Int32Array(current, 0, 2);
  let [count, since] = [head[0], performance.now()];
  return setInterval(() => {
    if (head[0] !== count) [count, since] = [head[0], performance.now()];
    // Nothing put in yet, or the search is over: the thread loads or distils.
    else if (count !== 0 && performance.now() - since > HANG_MS)
      onHang(Buffer.from(new Uint8Array(current, 8, head[1] ?? 0)));
  }, LOOK_MS);
}

function hungResult(
  target: string,
  { executions, corpus, coverage }: Progress,
  input: Uint8Array,
): SearchResult {
  const finding: Finding = { target, problem: `does not come back within ${HANG_MS / 1000} s`, input };
  return {
    target,
    executions,
    corpus,
    coverage,
    milliseconds: 0,
    findings: [finding],
    outcomes: {},
    medianUs: 0,
  };
}
