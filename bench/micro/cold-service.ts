import type { Stage } from '../../src/pdp/trace.ts';
import type { RequestFrames } from '../load/h2-connection.ts';
import { writeOpenReports, writePolicySet } from '../load/policies.ts';
import { type RequestMaker, requestMaker } from '../load/requests.ts';
import { openBenchService } from './service.ts';

/** The policy sets: that of the load benchmark's cold scenario, and those of its scenarios that only differ in their size. */
export const POLICY_SETS = {
  reports: (folder: string) => writeOpenReports(folder),
  'policies-10': (folder: string) => writePolicySet(folder, 10),
  'policies-10000': (folder: string) => writePolicySet(folder, 10_000),
} as const;

/** A server without its transport, for users and tokens that were never seen before. */
export interface ColdService extends AsyncDisposable {
  /** Requests that were never asked, as many as are wanted. */
  requests(count: number): readonly RequestFrames[];
  /** Asks them, `atOnce` in one turn of the event loop. Rejects where one is not permitted, or is decided in another way. */
  ask(requests: readonly RequestFrames[], atOnce: number): Promise<void>;
  /** Microseconds that each stage took since it was last asked, the median. With several at once a stage waits for the others too. */
  stages(): Partial<Record<Stage, number>>;
}

/** How a decision is come by: Cedar evaluates each, or one for all that the policies cannot tell apart. */
export type Deciding = 'each' | 'alike';

/** Opens it for `users` requests in all. */
export async function openColdService(
  set: keyof typeof POLICY_SETS,
  users: number,
  deciding: Deciding,
): Promise<ColdService> {
  const maker = requestMaker();
  const names = Array.from({ length: users + 1 }, (_, n) => `u${n}`);
  const stages = new Map<Stage, number[]>();
  let cold = 0;
  const service = await openBenchService({
    jwks: maker.jwks,
    users: names,
    policySet: POLICY_SETS[set],
    evaluates: deciding === 'each',
    onChecked({ decision, cache, timings }) {
      const alike = cache?.hit === false && cache.like !== undefined;
      if (decision.verdict === 'permit' && cache?.hit === false && alike === (deciding === 'alike'))
        cold += 1;
      for (const [stage, us] of Object.entries(timings) as [Stage, number][]) noteIn(stages, stage, us);
    },
  });
  for (const request of taken(names, 1, maker)) await service.ask(request);
  return {
    requests: (count) => taken(names, count, maker),
    async ask(requests, atOnce) {
      const before = cold;
      for (let asked = 0; asked < requests.length; asked += atOnce)
        await Promise.all(requests.slice(asked, asked + atOnce).map((request) => service.ask(request)));
      if (cold - before !== requests.length) throw new Error('an answer was not what a cold request gets');
    },
    stages() {
      const medians = [...stages].map(([stage, times]) => [stage, median(times)] as const);
      stages.clear();
      return Object.fromEntries(medians);
    },
    [Symbol.asyncDispose]: () => service[Symbol.asyncDispose](),
  };
}

function noteIn(stages: Map<Stage, number[]>, stage: Stage, us: number): void {
  const times = stages.get(stage);
  if (times) times.push(us);
  else stages.set(stage, [us]);
}

function taken(names: string[], count: number, maker: RequestMaker): readonly RequestFrames[] {
  const users = names.splice(0, count);
  if (users.length < count) throw new RangeError('there are no more users');
  return users.map((user) => maker.report(user));
}

/** The median; 0 of none. */
export function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;
}

/**
 * Bytes that an answer allocates on the heap: the median of some rounds, each too short for the collector to run in it. `collect` collects
 * the garbage.
 */
export async function bytesPerColdAnswer(service: ColdService, collect: () => void): Promise<number> {
  const ROUNDS = 9;
  const ANSWERS = 50;
  await service.ask(service.requests(1000), 10);
  const rounds: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    const requests = service.requests(ANSWERS);
    collect();
    const before = process.memoryUsage().heapUsed;
    await service.ask(requests, 10);
    rounds.push((process.memoryUsage().heapUsed - before) / ANSWERS);
  }
  return median(rounds);
}
