import { expect, test } from 'vitest';
import type { AskedWorker } from '../../../../src/compose/workers/fleet.ts';
import { Fleet } from '../../../../src/compose/workers/fleet.ts';
import { PdpError } from '../../../../src/pdp/errors.ts';

interface Behaviour {
  readonly candidate?: string;
  readonly down?: true;
  readonly fails?: readonly string[];
}

/** A worker that does as it is told, and what it was asked to change. */
function worker(number: number, { candidate = 'sha256:next', down, fails = [] }: Behaviour = {}) {
  const changes: string[] = [];
  const ask = async (question: string, given: readonly unknown[]): Promise<unknown> => {
    if (down) throw new PdpError('state_unavailable', 'it does not run');
    if (question === 'readiness') return { ready: true, problems: [], details: {} };
    if (question === 'policies')
      return {
        rollback_to: null,
        slots: {
          sets: { enforced: true, digest: 'now' },
          candidate: { enforced: false, digest: candidate, age_s: number },
        },
      };
    changes.push([question, ...given].join(' ').trim());
    if (fails.includes(question)) throw new PdpError('audit_unavailable', 'no log');
    return { digest: given[0], by: question };
  };
  return { changes, asked: { number, pid: number, ask: ask as AskedWorker['ask'] } };
}

function fleetOf(...workers: readonly ReturnType<typeof worker>[]): Fleet {
  return new Fleet(workers.map(({ asked }) => asked));
}

test('a promotion is made on all workers, of the candidate that all of them have', async () => {
  const [one, two] = [worker(1), worker(2)];
  expect(await fleetOf(one, two).rollout.promote(undefined)).toMatchObject({ digest: 'sha256:next' });
  expect([one.changes, two.changes]).toEqual([['promote sha256:next'], ['promote sha256:next']]);
});

test('nothing is promoted while a worker does not run, or has another candidate', async () => {
  for (const other of [worker(2, { down: true }), worker(2, { candidate: 'sha256:other' })]) {
    const one = worker(1);
    await expect(fleetOf(one, other).rollout.promote('sha256:next')).rejects.toMatchObject({
      reason: 'policies_unavailable',
      message: expect.stringContaining('nothing was changed'),
    });
    expect(one.changes).toEqual([]);
  }
});

test('a promotion that one worker cannot make is undone in the others', async () => {
  const [one, two] = [worker(1), worker(2, { fails: ['promote'] })];
  await expect(fleetOf(one, two).rollout.promote(undefined)).rejects.toThrow('no log');
  expect(one.changes).toEqual(['promote sha256:next', 'rollback']);
});

test('workers that are left with different policies are named', async () => {
  const [one, two] = [worker(1, { fails: ['rollback'] }), worker(2, { fails: ['promote'] })];
  await expect(fleetOf(one, two).rollout.promote(undefined)).rejects.toThrow(
    /worker 2 did not change \(no log\), and it could not be undone in worker 1/,
  );
});

test('a revocation is made by one worker that runs, and by none where none does', async () => {
  const [one, two, three] = [worker(1, { down: true }), worker(2), worker(3)];
  const change = { action: 'revoke', subjects: [], reason: 'r' } as const;
  await fleetOf(one, two, three).admin.change(change, 'me');
  expect([two.changes.length, three.changes.length]).toEqual([1, 0]);
  await expect(fleetOf(one).admin.change(change, 'me')).rejects.toThrow('no worker runs now');
  await expect(fleetOf(one).admin.list(1, undefined)).rejects.toThrow('no worker runs now');
});
