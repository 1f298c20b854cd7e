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
// On Linux this is about the calling thread alone: what is being served goes first, but on a machine that is busy all the time the lowest priority would
// hardly ever get to run, and a policy that ends an attack would wait for the attack to end.
setPriority(constants.priority.PRIORITY_BELOW_NORMAL);
try {
  const texts = workerData as PolicyTexts;
  const sources = new Map(texts.policies.map(({ file }, index) => [file, index]));
  const { entries, ...rest } = analysePolicies(texts);
  const sent = entries.map(({ text, file, ...entry }) => ({
    ...entry,
    source: sources.get(file) ?? 0,
    length: text.length,
  }));
  let at = 0;
  // Each portion is asked for, so that the receiver can serve in between.
  port.on('message', () => {
    if (at >= sent.length) return send({ kind: 'done', rest });
    send({ kind: 'entries', entries: sent.slice(at, at + CHUNK) });
    at += CHUNK;
  });
  send({ kind: 'entries', entries: [] });
} catch (error) {
  if (!(error instanceof InputError)) throw error;
  send({ kind: 'refused', title: error.title, problems: error.problems });
}
