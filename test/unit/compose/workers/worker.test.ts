import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';

test('what is to be reloaded while a worker starts is reloaded when it has started', async () => {
  const worker = fork(fileURLToPath(new URL('slow-worker.ts', import.meta.url)), { execArgv: [] });
  const told: string[] = [];
  worker.on('message', ({ type }: { type: string }) => void told.push(type));
  const exited = once(worker, 'exit');
  worker.send({ type: 'start', number: 1, config: {}, opsAddress: '', file: undefined });
  worker.send({ type: 'reload' });
  worker.send({ type: 'ask', id: 0, question: 'readiness', given: [] });
  while (!told.includes('started')) await once(worker, 'message');
  worker.send({ type: 'stop' });
  await exited;
  expect(new Set(told)).toEqual(new Set(['refusal', 'reloaded', 'started']));
});
