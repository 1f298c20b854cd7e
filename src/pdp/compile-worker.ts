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
try {
  const { entries, ...rest } = analysePolicies(workerData as PolicyTexts);
  for (let start = 0; start < entries.length; start += CHUNK)
    send({ kind: 'entries', entries: entries.slice(start, start + CHUNK) });
  send({ kind: 'done', rest });
} catch (error) {
  if (!(error instanceof InputError)) throw error;
  send({ kind: 'refused', title: error.title, problems: error.problems });
}
