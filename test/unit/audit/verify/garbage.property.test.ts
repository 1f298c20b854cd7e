import { readFileSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import * as fc from 'fast-check';
import { expect, it } from 'vitest';
import { verifyLog } from '../../../../src/audit/verify/verify.ts';
import { sealedLog } from './sealed-log.ts';

it('verification ends with a verdict whatever is in any file of a log, and never calls a changed one whole', async () => {
  const { dir } = await sealedLog({ decisions: 300, segmentBytes: 20_000, compress: true });
  const files = readdirSync(dir, { recursive: true })
    .map((name) => join(dir, String(name)))
    .filter((path) => statSync(path).isFile() && !path.endsWith('.pem'));
  expect(files.length).toBeGreaterThan(7);
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom(...files),
      fc.uint8Array({ maxLength: 400 }),
      fc.nat(),
      async (path, garbage, cut) => {
        const before = readFileSync(path);
        writeFileSync(path, Buffer.concat([before.subarray(0, cut % before.length), garbage]));
        const same = contentOf(path, readFileSync(path)).equals(contentOf(path, before));
        const { integrity } = await verifyLog(dir);
        writeFileSync(path, before);
        expect({ path, integrity: integrity === 'ok' }).toEqual({
          path,
          integrity: same || isTornTail(path),
        });
      },
    ),
    { numRuns: 80 },
  );
});

/** What a file says: a key with or without the end of its line is the same key. */
function contentOf(path: string, bytes: Buffer): Buffer {
  return path.endsWith('.vkey') ? Buffer.from(bytes.toString('latin1').trimEnd(), 'latin1') : bytes;
}

/** What a crash may leave: half a note at the end of the checkpoints that are kept. */
function isTornTail(path: string): boolean {
  return path.endsWith('checkpoints.log');
}
