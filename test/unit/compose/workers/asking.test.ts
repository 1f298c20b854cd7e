import { expect, test } from 'vitest';
import { OpsRefusal } from '../../../../src/api/ops/ops-admin.ts';
import { WorkerQuestions, answerTo } from '../../../../src/compose/workers/asking.ts';
import type { ProcessControl } from '../../../../src/compose/workers/control.ts';
import { PdpError } from '../../../../src/pdp/errors.ts';

/** An asker whose questions are answered by `control`, through what structured cloning leaves of a message. */
function askerOf(control: Partial<ProcessControl>): WorkerQuestions {
  const asker: WorkerQuestions = new WorkerQuestions((asked) => {
    void answerTo(control as ProcessControl, structuredClone(asked)).then((said) =>
      asker.take(structuredClone(said)),
    );
  });
  return asker;
}

test('each answer goes to its question, whatever the order', async () => {
  const first = Promise.withResolvers<object>();
  const control = { policies: () => first.promise, eventStreams: () => [2] };
  const asker = askerOf(control);
  const [slow, fast] = [asker.ask('policies', [], 1000), asker.ask('eventStreams', [], 1000)];
  expect(await fast).toEqual([2]);
  first.resolve({ one: 1 });
  expect(await slow).toEqual({ one: 1 });
});

test.each([
  [new PdpError('audit_unavailable', 'no log'), PdpError, { reason: 'audit_unavailable' }],
  [new OpsRefusal(409, 'not so'), OpsRefusal, { status: 409 }],
  [new TypeError('a bug'), Error, { message: 'a bug' }],
])('what a worker refuses with is what whoever asked gets: %s', async (error, kind, fields) => {
  const asker = askerOf({ promote: () => Promise.reject(error) });
  const refused = await asker.ask('promote', [undefined], 1000).catch((caught: unknown) => caught);
  expect(refused).toBeInstanceOf(kind);
  expect(refused).toMatchObject({ message: error.message, ...fields });
});

test('a worker that does not answer in time, or ends, is no answer', async () => {
  const silent = new WorkerQuestions(() => undefined);
  await expect(silent.ask('policies', [], 5)).rejects.toThrow(/did not answer within 5 ms/);
  const ended = expect(silent.ask('policies', [], 60_000)).rejects.toThrow(/it ended/);
  silent.end();
  await ended;
});
