import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { describe, expect, test } from 'vitest';
import { assertRuntime, keepThreadsSmall } from '../../src/runtime.ts';

const MIB = 1024 * 1024;

/** The largest young generation, in bytes, of a thread that keeps much of what it makes. */
async function youngBytesOfThread(): Promise<number> {
  const code = `
    const { parentPort } = require('node:worker_threads');
    const { getHeapSpaceStatistics } = require('node:v8');
    const young = () => getHeapSpaceStatistics().find(({ space_name }) => space_name === 'new_space').space_size;
    let [kept, most] = [[], 0];
    for (let i = 0; i < 3e6; i++) {
      kept.push({ i });
      if (kept.length > 400000) kept = [];
      if (i % 10000 === 0) most = Math.max(most, young());
    }
    parentPort.postMessage(most);`;
  const [most] = (await once(new Worker(code, { eval: true }), 'message')) as [number];
  return most;
}

describe('the runtime', () => {
  test('is refused where it is older than what the code needs', () => {
    expect(() => assertRuntime('22.19.0')).toThrow('cedar-pdp needs Node.js 24.12 or newer');
    expect(() => assertRuntime('24.11.1')).toThrow('is running on 24.11.1');
    expect(() => assertRuntime('24.12.0')).not.toThrow();
    expect(() => assertRuntime('26.0.0')).not.toThrow();
  });

  test('gives threads a small young generation', async () => {
    const before = await youngBytesOfThread();
    keepThreadsSmall();
    const after = await youngBytesOfThread();
    expect(before).toBeGreaterThan(20 * MIB);
    expect(after).toBeLessThanOrEqual(20 * MIB);
  });
});
