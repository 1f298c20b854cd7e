import { parentPort, workerData } from 'node:worker_threads';
import { type JobData, type JobMessage, type JobOrder, createJob } from './job.ts';

const port = parentPort;
if (!port) throw new Error('replay-worker.ts runs as a worker only');
const send = (message: JobMessage): void => port.postMessage(message);
const job = createJob(workerData as JobData, (records) => send({ kind: 'progress', records }));
port.on('message', ({ firstIndex }: JobOrder) => {
  job
    .run(firstIndex)
    .then((tally) => send({ kind: 'done', tally }))
    // In the thread that waits, this is an error.
    .catch((error: unknown) =>
      setImmediate(() => {
        throw error;
      }),
    );
});
