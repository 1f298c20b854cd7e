import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { tileFiles } from '../../../../src/audit/read/tile-files.ts';
import { keptCheckpoints } from '../../../../src/audit/seal/checkpoint-files.ts';
import { prepareIdentity } from '../../../../src/audit/seal/log-identity.ts';
import { sameHash } from '../../../../src/audit/tlog/hash.ts';
import { rootAt } from '../../../../src/audit/tlog/proofs.ts';
import { type SealedLog, expectSealed, openSealedLog, openedIn } from './seal-fixture.ts';

type Step = { readonly append: number } | 'rotate' | 'round' | 'restart' | 'hour' | 'minute' | 'compress';

const STEPS = fc.array(
  fc.oneof(
    { weight: 3, arbitrary: fc.record({ append: fc.integer({ min: 1, max: 600 }) }) },
    {
      weight: 4,
      arbitrary: fc.constantFrom<Step[]>('rotate', 'round', 'restart', 'hour', 'minute', 'compress'),
    },
  ),
  { minLength: 3, maxLength: 15 },
);

async function take(log: SealedLog, step: Step): Promise<void> {
  if (typeof step === 'object') return log.append(step.append);
  if (step === 'rotate') log.writer.rotate();
  if (step === 'round') while (log.loop.round());
  if (step === 'restart') log.restart();
  if (step === 'hour') log.clock.advance(3_600_000);
  if (step === 'minute') log.clock.advance(60_000);
  if (step === 'compress') while (log.loop.step());
}

describe('whatever happens in whatever order', () => {
  it('every checkpoint is over the lines of the log, and continues those before it', async () => {
    await fc.assert(
      fc.asyncProperty(STEPS, async (steps) => {
        const log = await openSealedLog({ settings: { compress: true, epochMs: 3_600_000 } });
        prepareIdentity(log.settings);
        for (const step of steps) await take(log, step);
        await log.seal();
        log.loop.finish();
        expect(log.loop.status()).toMatchObject({ sealing: true, problems: [] });
        expect(expectSealed(log.dir)).toBe(log.writer.nextIndex);
        const kept = keptCheckpoints(readFileSync(join(log.dir, 'checkpoints.log')));
        const heads = kept.map((note) => openedIn(log.dir, note));
        for (const { size, root } of heads)
          expect(sameHash(rootAt(size, tileFiles(log.dir)), root)).toBe(true);
        expect(heads.map(({ size }) => size)).toEqual(
          heads.map(({ size }) => size).toSorted((a, b) => a - b),
        );
      }),
      { numRuns: 25 },
    );
  });
});
