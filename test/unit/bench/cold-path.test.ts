import { expect, test } from 'vitest';
import { bytesPerColdAnswer, openColdService } from '../../../bench/micro/cold-service.ts';
import { collector } from '../../../bench/micro/collector.ts';

/** What an answer may allocate on the heap, in bytes; measured: 132 800 and 140 000 (`npm run bench:micro`, Node.js 24.21.0). */
const BOUNDS = { each: 180_000, alike: 180_000 } as const;

test.each(['each', 'alike'] as const)(
  'an answer to an unknown token and question allocates as little as it did (%s)',
  async (deciding) => {
    await using service = await openColdService('reports', 2000, deciding);
    const bytes = await bytesPerColdAnswer(service, collector());
    expect(bytes).toBeGreaterThan(0);
    expect(bytes).toBeLessThan(BOUNDS[deciding]);
  },
  60_000,
);
