import { expect, test } from 'vitest';
import type { AskedWorker } from '../../../../src/compose/workers/fleet.ts';
import { Fleet } from '../../../../src/compose/workers/fleet.ts';
import { PdpError } from '../../../../src/pdp/errors.ts';

interface Behaviour {
  readonly candidate?: string;
  readonly down?: true;
  /** Questions that it refuses, having done nothing. */
  readonly fails?: readonly string[];
  /** Questions that it does, and cannot say so. */
  readonly silent?: readonly string[];
  /** When its policies were fetched: of a bundle, each worker does that by itself. */
  readonly fetchedAt?: string;
}

/** A worker that does as it is told, and what it was asked to change. */
function worker(number: number, behaviour: Behaviour = {}) {
  const { candidate = 'sha256:next', down, fails = [], silent = [], fetchedAt } = behaviour;
  const changes: string[] = [];
  const state = { active: 'now', waiting: candidate, back: null as string | null };
  const swap = (by: string, digest: unknown): object => {
    if (digest !== (by === 'promote' ? state.waiting : state.back))
      throw new PdpError('policies_unavailable', `nothing to ${by}`);
    const { active } = state;
    Object.assign(state, { active: digest, waiting: active, back: by === 'promote' ? active : null });
    if (silent.includes(by)) throw new PdpError('audit_unavailable', 'in force, but not recorded');
    return { digest, by };
  };
  const ask = async (question: string, given: readonly unknown[]): Promise<unknown> => {
    if (down) throw new PdpError('state_unavailable', 'it does not run');
    if (question === 'readiness') return { ready: true, problems: [], details: {} };
    const about = { age_s: number, fetched_at: fetchedAt };
    if (question === 'policies')
      return {
        rollback_to: state.back,
        slots: {
          sets: { ...about, enforced: true, digest: state.active },
          candidate: { ...about, enforced: false, digest: state.waiting },
        },
      };
    changes.push([question, ...given].join(' ').trim());
    if (fails.includes(question)) throw new PdpError('audit_unavailable', 'no log');
    return question === 'changeRevocation' ? {} : swap(question, given[0]);
  };
  return { changes, state, asked: { number, pid: number, ask: ask as AskedWorker['ask'] } };
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

test('when a worker fetched its policies is its own, and no reason not to promote', async () => {
  const workers = [
    worker(1, { fetchedAt: '2026-01-01T00:00:00Z' }),
    worker(2, { fetchedAt: '2026-01-01T00:00:01Z' }),
  ];
  await fleetOf(...workers).rollout.promote(undefined);
  expect(workers.map(({ state }) => state.active)).toEqual(['sha256:next', 'sha256:next']);
});

test('a promotion that one worker cannot make is undone in the others', async () => {
  const [one, two] = [worker(1), worker(2, { fails: ['promote'] })];
  await expect(fleetOf(one, two).rollout.promote(undefined)).rejects.toThrow('no log');
  expect(one.changes).toEqual(['promote sha256:next', 'rollback now']);
  expect([one.state.active, two.state.active]).toEqual(['now', 'now']);
});

test('a promotion that one worker made and could not record is undone in that one too', async () => {
  const [one, two] = [worker(1), worker(2, { silent: ['promote'] })];
  await expect(fleetOf(one, two).rollout.promote(undefined)).rejects.toThrow('not recorded');
  expect([one.state.active, two.state.active]).toEqual(['now', 'now']);
});

test('a promotion that was undone does not keep the next one from being made', async () => {
  const fails = ['promote'];
  const [one, two] = [worker(1), worker(2, { fails })];
  // Both have been promoted to what they have; the first loses that way back.
  for (const { state } of [one, two]) state.back = 'sha256:older';
  await expect(fleetOf(one, two).rollout.promote(undefined)).rejects.toThrow('no log');
  expect([one.state.back, two.state.back]).toEqual([null, 'sha256:older']);
  fails.pop();
  await expect(fleetOf(one, two).rollout.rollback(undefined)).rejects.toThrow('nothing was changed');
  await fleetOf(one, two).rollout.promote(undefined);
  for (const { state } of [one, two]) expect(state).toMatchObject({ active: 'sha256:next', back: 'now' });
});

test('a rollback that one worker cannot make is undone in the others', async () => {
  const [one, two] = [worker(1), worker(2, { fails: ['rollback'] })];
  await fleetOf(one, two).rollout.promote(undefined);
  await expect(fleetOf(one, two).rollout.rollback(undefined)).rejects.toThrow('no log');
  for (const { state } of [one, two]) expect(state).toMatchObject({ active: 'sha256:next', back: 'now' });
});

test('workers that are left with different policies are named', async () => {
  const [one, two] = [worker(1, { fails: ['rollback'] }), worker(2, { fails: ['promote'] })];
  await expect(fleetOf(one, two).rollout.promote(undefined)).rejects.toThrow(
    /worker 2 did not change \(no log\), and it could not be undone in worker 1/,
  );
});

/** A worker that says how many checks it has counted, when it is let to. */
function counting(number: number, answer: () => Promise<number>): AskedWorker {
  const ask = async () => {
    const [checks, labels] = [await answer(), {}];
    const common = { help: 'h', aggregator: 'sum' };
    return [
      { ...common, name: 'pdp_checks_total', type: 'counter', values: [{ value: checks, labels }] },
      { ...common, name: 'pdp_ready', type: 'gauge', values: [{ value: 1, labels }] },
    ];
  };
  return { number, pid: number, ask: ask as unknown as AskedWorker['ask'] };
}

test('a worker that ends while another is waited for is counted once', async () => {
  const late = Promise.withResolvers<number>();
  const fleet = new Fleet([counting(1, () => Promise.resolve(5)), counting(2, () => late.promise)]);
  const metrics = fleet.metrics([]);
  await new Promise((resolve) => void setImmediate(resolve));
  fleet.lost(1);
  late.resolve(2);
  expect((await metrics).body).toMatch(/^pdp_checks_total 7$/m);
});

test('a worker that does not answer keeps its place in the sums, and is not ready', async () => {
  let answers = true;
  const answer = () => (answers ? Promise.resolve(7) : Promise.reject(new Error('hangs')));
  const fleet = new Fleet([counting(1, () => Promise.resolve(1)), counting(2, answer)]);
  expect((await fleet.metrics([])).body).toMatch(/^pdp_ready 1$/m);
  answers = false;
  const { body } = await fleet.metrics([]);
  expect(body).toMatch(/^pdp_checks_total 8$/m);
  expect(body).toMatch(/^pdp_ready 0$/m);
});

test('a revocation is made by one worker that runs, and by none where none does', async () => {
  const [one, two, three] = [worker(1, { down: true }), worker(2), worker(3)];
  const change = { action: 'revoke', subjects: [], reason: 'r' } as const;
  await fleetOf(one, two, three).admin.change(change, 'me');
  expect([two.changes.length, three.changes.length]).toEqual([1, 0]);
  await expect(fleetOf(one).admin.change(change, 'me')).rejects.toThrow('no worker runs now');
  await expect(fleetOf(one).admin.list(1, undefined)).rejects.toThrow('no worker runs now');
});
