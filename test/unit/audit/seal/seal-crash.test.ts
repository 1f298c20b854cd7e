import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { tileFiles } from '../../../../src/audit/read/tile-files.ts';
import { sameHash } from '../../../../src/audit/tlog/hash.ts';
import { consistencyProof } from '../../../../src/audit/tlog/proofs.ts';
import { verifyConsistency } from '../../../../src/audit/tlog/verify-proof.ts';
import { verifyLog } from '../../../../src/audit/verify/verify.ts';
import { tempDir } from '../log-fixture.ts';
import type { Stage } from './seal-child.ts';
import { checkpointOf, expectSealed, openSealedLog, openedIn } from './seal-fixture.ts';

const CHILD = fileURLToPath(new URL('seal-child.ts', import.meta.url));

/** Lets a process write and seal until it kills itself before a step. */
async function runUntil(dir: string, identityFile: string, stage: Stage, after: number): Promise<void> {
  const child = spawn(process.execPath, [CHILD, dir, identityFile, stage, String(after)], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  const [, signal]: unknown[] = await once(child, 'exit');
  expect(signal).toBe('SIGKILL');
}

describe('a process killed while it seals', () => {
  const stages: [string, Stage][] = [
    ['after the lines, before the tiles', 'tiles'],
    ['after the tiles, before the checkpoint', 'checkpoint'],
    ["before the checkpoint's rename", 'checkpoint-rename'],
    ['before an epoch is certified', 'epoch'],
  ];

  it.each(stages)('%s: the next run goes on, and contradicts nothing', async (_, stage) => {
    const dir = tempDir();
    const identityFile = join(tempDir(), 'identity.pem');
    const notes: string[] = [];
    for (const after of [0, 3, 8]) {
      await runUntil(dir, identityFile, stage, after);
      const path = join(dir, 'checkpoint');
      if (existsSync(path)) notes.push(readFileSync(path, 'utf8'));
    }
    const log = await openSealedLog({ dir, identityFile });
    // The process that was killed had the clock of the machine.
    log.clock.advance(Date.now() - log.clock.now() + 1000);
    await log.append(10);
    await log.seal();
    expect(log.loop.status()).toMatchObject({ sealing: true, problems: [] });
    expect(expectSealed(dir)).toBe(log.writer.nextIndex);
    await log.writer[Symbol.asyncDispose]();
    log.loop.finish();
    expect(await verifyLog(dir)).toMatchObject({ integrity: 'ok', completeness: 'ok' });
    const head = checkpointOf(dir);
    for (const note of notes) {
      const older = openedIn(dir, note);
      const proof = consistencyProof(older.size, head.size, tileFiles(dir));
      const isSame = older.size === head.size && sameHash(older.root, head.root);
      expect(isSame || verifyConsistency(older, head, proof)).toBe(true);
    }
  });
});
