import { constants, setPriority } from 'node:os';
import { setImmediate as nextTurn, setTimeout as delay } from 'node:timers/promises';
import { parentPort, workerData } from 'node:worker_threads';
import { CommitPosition } from '../log/commit-position.ts';
import type { FromSealer, SealWorkerData, ToSealer, Announce } from './seal-messages.ts';
import { SealLoop } from './seal-loop.ts';

const port = parentPort;
if (!port) throw new Error('seal-worker.ts runs as a worker only');
const send = (message: FromSealer): void => port.postMessage(message);
// On Linux this is about the calling thread alone: what is being served goes first, but on a machine that is busy all the time the lowest priority would
// hardly ever get to run, and nothing would be signed.
setPriority(constants.priority.PRIORITY_BELOW_NORMAL);

const { settings, committed } = workerData as SealWorkerData;
const position = new CommitPosition(committed);
const waiting = new Map<number, PromiseWithResolvers<void>>();
let asked = 0;
const announce: Announce = (control, fields) => {
  const answer = Promise.withResolvers<void>();
  const id = asked++;
  waiting.set(id, answer);
  send({ kind: 'append', id, control, fields });
  return answer.promise;
};
const finish = new AbortController();
port.on('message', (message: ToSealer) => {
  if (message.kind === 'finish') return finish.abort();
  const answer = waiting.get(message.id);
  waiting.delete(message.id);
  if (message.done) answer?.resolve();
  else answer?.reject(new Error('the record is not in the decision log'));
});

const clock = { now: () => Date.now(), monotonic: () => performance.now() };
const loop = new SealLoop({ settings, announce, clock, committed: () => position.read() });
const { signal } = finish;
while (!signal.aborted) {
  const due = performance.now() + settings.checkpointMs;
  while (loop.round() && !signal.aborted) {
    send({ kind: 'status', status: loop.status() });
    await nextTurn();
  }
  send({ kind: 'status', status: loop.status() });
  while (!signal.aborted && performance.now() < due) {
    if (loop.step()) await nextTurn();
    else await delay(Math.max(1, due - performance.now()), undefined, { signal }).catch(() => undefined);
  }
}
loop.finish();
send({ kind: 'status', status: loop.status() });
port.close();
