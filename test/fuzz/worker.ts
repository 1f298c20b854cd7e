// One search in a thread of its own, so that an input that never comes back can be told by the thread that waits.
import { parentPort, workerData } from 'node:worker_threads';
import { startCoverage } from './engine/coverage.ts';
import { smallCorpus } from './engine/distil.ts';
import { fuzz } from './engine/engine.ts';
import { readCorpus, readFindings } from './engine/entries.ts';
import type { SearchOrder } from './search.ts';
import { TARGETS } from './targets.ts';

const order = workerData as SearchOrder;
const shared = new Uint8Array(order.current);
const head = new Int32Array(order.current, 0, 2);
const make = TARGETS[order.target];
if (!make) throw new TypeError(`there is no target '${order.target}'`);
startCoverage();
const target = await make();
const result = await fuzz(target, {
  seed: order.seed,
  ...(order.runs !== undefined && { runs: order.runs }),
  ...(order.milliseconds !== undefined && { milliseconds: order.milliseconds }),
  corpus: [...readCorpus(order.target), ...readFindings(order.target).map(({ input }) => input)],
  onInput: (input) => {
    shared.set(input.subarray(0, shared.length - 8), 8);
    head[1] = input.length;
    head[0] = ((head[0] ?? 0) + 1) | 0;
  },
  onProgress: (progress) => parentPort?.postMessage({ progress }),
});
const corpus = order.distil ? await smallCorpus(target, result.corpus) : [];
parentPort?.postMessage({ result: { ...result, corpus: result.corpus.length }, corpus });
