import { constants, setPriority } from 'node:os';
import { parentPort, workerData } from 'node:worker_threads';
import { analysePolicies } from './analyse-policies.ts';
import { InputError } from './errors.ts';
import type { PolicyTexts } from './policy-source.ts';
import type { CompileMessage } from './compile-off-thread.ts';

/** Policies in one message: the receiving thread takes each in well under a millisecond. */
const CHUNK = 100;

const port = parentPort;
if (!port) throw new Error('compile-worker.ts runs as a worker only');
const send = (message: CompileMessage): void => port.postMessage(message);
// On Linux this is about the calling thread alone: what is being served goes first.
setPriority(constants.priority.PRIORITY_LOW);
try {
  const { entries, ...rest } = analysePolicies(workerData as PolicyTexts);
  let sent = 0;
  // Each portion is asked for, so that the receiver can serve in between.
  port.on('message', () => {
    if (sent >= entries.length) return send({ kind: 'done', rest });
    send({ kind: 'entries', entries: entries.slice(sent, sent + CHUNK) });
    sent += CHUNK;
  });
  send({ kind: 'entries', entries: [] });
} catch (error) {
  if (!(error instanceof InputError)) throw error;
  send({ kind: 'refused', title: error.title, problems: error.problems });
}
