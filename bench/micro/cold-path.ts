// Prints what an answer to a token and a question never seen before costs without its transport: bytes on the heap, its stages, CPU beside a
// calibrating loop, and how much of that is due to the size of the policy set.
import { calibratingUs, cpuUs, rounded } from './calibration.ts';
import { collector } from './collector.ts';
import {
  type ColdService,
  type Deciding,
  type POLICY_SETS,
  bytesPerColdAnswer,
  median,
  openColdService,
} from './cold-service.ts';

const ROUNDS = 15;
const ANSWERS = 200;
/** As many as come in one turn of the event loop under load, or alone. */
const AT_ONCE = [1, 16];
const USERS = 1000 + 9 * 50 + ANSWERS * ROUNDS * AT_ONCE.length + 2 * ANSWERS * ROUNDS;

async function coldUs(service: ColdService, atOnce: number): Promise<number> {
  const requests = service.requests(ANSWERS);
  return await cpuUs(ANSWERS, () => service.ask(requests, atOnce));
}

/** Answer and calibrating loop in turn, so that what else the machine does meets both; medians. */
async function measure(service: ColdService, atOnce: number) {
  const [answers, turns]: [number[], number[]] = [[], []];
  service.stages();
  for (let round = 0; round < ROUNDS; round++) {
    turns.push(await calibratingUs());
    answers.push(await coldUs(service, atOnce));
  }
  const [answer, turn] = [median(answers), median(turns)];
  const stages = Object.entries(service.stages()).map(([stage, us]) => [stage, rounded(us, 1)]);
  return {
    cpu_us: rounded(answer, 0),
    calibrating_us: rounded(turn, 2),
    ratio: rounded(answer / turn, 1),
    // Of one at a time only: with several a stage waits for the others too.
    ...(atOnce === 1 && { stages_us: Object.fromEntries(stages) as object }),
  };
}

async function path(set: keyof typeof POLICY_SETS, deciding: Deciding): Promise<object> {
  await using service = await openColdService(set, USERS, deciding);
  const bytes = Math.round(await bytesPerColdAnswer(service, collector()));
  const results: Record<string, object> = {};
  for (const atOnce of AT_ONCE) results[`at_once_${atOnce}`] = await measure(service, atOnce);
  return { bytes, ...results };
}

/** CPU for an answer under the large set by that under the small one, asked in turn. */
async function sizeRatio(): Promise<number> {
  await using small = await openColdService('policies-10', USERS, 'each');
  await using large = await openColdService('policies-10000', USERS, 'each');
  for (const service of [small, large]) await service.ask(service.requests(1000), 16);
  const ratios: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    const [first, second] = [await coldUs(small, 16), await coldUs(large, 16)];
    ratios.push(second / first);
  }
  return rounded(median(ratios), 2);
}

const results = {
  node: process.version,
  cold_path: await path('reports', 'alike'),
  cold_path_evaluated: await path('reports', 'each'),
  cpu_10000_policies_by_10: await sizeRatio(),
};
process.stdout.write(`${JSON.stringify(results, undefined, 2)}\n`);
