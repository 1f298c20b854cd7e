import { expect, test } from 'vitest';
import { collector } from '../../../bench/micro/collector.ts';
import { type QUESTIONS, bytesPerAnswer, openHotService } from '../../../bench/micro/hot-service.ts';

/** What answers allocate on the heap, in bytes: as measured (`npm run bench:micro`, Node.js 24.21.0), and what they may. */
const BOUNDS: readonly [question: keyof typeof QUESTIONS, measured: number, bound: number][] = [
  ['hot', 30_000, 39_000],
  ['mesh', 22_700, 30_000],
];

test.each(BOUNDS)(
  'an answer of the hot path allocates as little as it did: %s',
  async (question, _measured, bound) => {
    await using service = await openHotService(question);
    const bytes = await bytesPerAnswer(service, collector());
    expect(bytes).toBeGreaterThan(0);
    expect(bytes).toBeLessThan(bound);
  },
  60_000,
);
