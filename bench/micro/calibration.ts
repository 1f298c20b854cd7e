import { hash } from 'node:crypto';

const TURNS = 100_000;

/** A sample of the work that answers are made of: text to JSON and back, and a hash. */
const SAMPLE = JSON.stringify({ user: 'staff/alice', groups: ['Finance', 'Staff'], path: '/api/reports' });

/** Microseconds of CPU that a turn of the calibrating loop takes: what a machine, and what else it does, make of the same work. */
export async function calibratingUs(): Promise<number> {
  return await cpuUs(TURNS, () => {
    for (let turn = 0; turn < TURNS; turn++) hash('sha256', JSON.stringify(JSON.parse(SAMPLE)), 'base64url');
  });
}

/** Microseconds of CPU, of all threads of the process, that `run` takes for each of `count`. */
export async function cpuUs(count: number, run: () => void | Promise<void>): Promise<number> {
  const before = process.cpuUsage();
  await run();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / count;
}

/** The number with so many digits after the point. */
export function rounded(value: number, digits: number): number {
  return Number(value.toFixed(digits));
}
