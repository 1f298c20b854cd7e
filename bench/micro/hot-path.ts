// Prints what an answer of the hot path costs without its transport: bytes on the heap, and CPU beside a calibrating loop.
import { calibratingUs, cpuUs, rounded } from './calibration.ts';
import { collector } from './collector.ts';
import { type HotService, QUESTIONS, askOften, bytesPerAnswer, openHotService } from './hot-service.ts';

const ROUNDS = 5;
const ANSWERS = 20_000;

/** Both in turn, so that what else the machine does meets both; the least of each is what it costs. */
async function measure(service: HotService) {
  let [answer, turn] = [Infinity, Infinity];
  for (let round = 0; round < ROUNDS; round++) {
    turn = Math.min(turn, await calibratingUs());
    answer = Math.min(answer, await cpuUs(ANSWERS, () => askOften(service, ANSWERS)));
  }
  return { cpu_us: rounded(answer, 1), calibrating_us: rounded(turn, 2), ratio: rounded(answer / turn, 1) };
}

const collect = collector();
const results: Record<string, object> = {};
for (const question of Object.keys(QUESTIONS) as (keyof typeof QUESTIONS)[]) {
  await using service = await openHotService(question);
  const bytes = Math.round(await bytesPerAnswer(service, collect));
  results[question] = { bytes, ...(await measure(service)) };
}
process.stdout.write(`${JSON.stringify({ node: process.version, hot_path: results }, undefined, 2)}\n`);
