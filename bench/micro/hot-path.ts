// Prints what an answer of the hot path costs without its transport: bytes on the heap, and CPU beside a calibrating loop.
import { hash } from 'node:crypto';
import { collector } from './collector.ts';
import { type HotService, QUESTIONS, askOften, bytesPerAnswer, openHotService } from './hot-service.ts';

const ROUNDS = 5;
const ANSWERS = 20_000;
const TURNS = 100_000;

/** A sample of the work that answers are made of: text to JSON and back, and a hash. */
const SAMPLE = JSON.stringify({ user: 'staff/alice', groups: ['Finance', 'Staff'], path: '/api/reports' });

function calibrate(): void {
  for (let turn = 0; turn < TURNS; turn++) hash('sha256', JSON.stringify(JSON.parse(SAMPLE)), 'base64url');
}

/** Microseconds of CPU that `run` takes for each of `count`. */
async function cpuUs(count: number, run: () => void | Promise<void>): Promise<number> {
  const before = process.cpuUsage();
  await run();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / count;
}

/** Both in turn, so that what else the machine does meets both; the least of each is what it costs. */
async function measure(service: HotService) {
  let [answer, turn] = [Infinity, Infinity];
  for (let round = 0; round < ROUNDS; round++) {
    turn = Math.min(turn, await cpuUs(TURNS, calibrate));
    answer = Math.min(answer, await cpuUs(ANSWERS, () => askOften(service, ANSWERS)));
  }
  const rounded = (value: number, digits: number) => Number(value.toFixed(digits));
  return { cpu_us: rounded(answer, 1), calibrating_us: rounded(turn, 2), ratio: rounded(answer / turn, 1) };
}

const collect = collector();
const results: Record<string, object> = {};
for (const question of Object.keys(QUESTIONS) as (keyof typeof QUESTIONS)[]) {
  await using service = await openHotService(question);
  const bytes = Math.round(await bytesPerAnswer(service, collect));
  results[question] = { bytes, ...(await measure(service)) };
}
process.stdout.write(`${JSON.stringify({ node: process.version, ...results }, undefined, 2)}\n`);
