import { constants, setPriority } from 'node:os';
import { parentPort, workerData } from 'node:worker_threads';
import { messageOf } from '../../pdp/errors.ts';
import type { SelfReplayAnswer } from './self-replay.ts';
import { type SelfReplayData, type SelfReplayOrder, SelfReplayRuns } from './self-replay-run.ts';

const port = parentPort;
if (!port) throw new Error('self-replay-worker.ts runs as a worker only');
const send = (message: SelfReplayAnswer): void => port.postMessage(message);
// On Linux this is about the calling thread alone: what is being served goes first.
setPriority(constants.priority.PRIORITY_LOW);
const runs = new SelfReplayRuns(workerData as SelfReplayData);
port.on('message', (order: SelfReplayOrder) => {
  runs
    .run(order)
    .then((tally) => send({ kind: 'done', tally }))
    .catch((error: unknown) => send({ kind: 'failed', message: messageOf(error) }));
});
