import { expect, test } from 'vitest';
import { bytesPerColdAnswer, openColdService } from '../../../bench/micro/cold-service.ts';
import { collector } from '../../../bench/micro/collector.ts';

/** What an answer may allocate on the heap, in bytes; measured: 139 700 (`npm run bench:micro`, Node.js 24.21.0). */
const BOUND = 180_000;

test('an answer to an unknown token and question allocates as little as it did', async () => {
  await using service = await openColdService('reports', 2000);
  const bytes = await bytesPerColdAnswer(service, collector());
  expect(bytes).toBeGreaterThan(0);
  expect(bytes).toBeLessThan(BOUND);
}, 60_000);
