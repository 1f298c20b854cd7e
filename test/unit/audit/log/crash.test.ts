import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { verifyLog } from '../../../../src/audit/verify/verify.ts';
import { openWriter, records, tempDir } from '../log-fixture.ts';

const CHILD = fileURLToPath(new URL('writer-child.ts', import.meta.url));

/** Lets a process write until it has reported `count` safe decisions, kills it with SIGKILL, and gives what it reported. */
async function writeAndKill(dir: string, durability: string, count: number): Promise<Set<string>> {
  const child = spawn(process.execPath, [CHILD, dir, durability], { stdio: ['ignore', 'pipe', 'inherit'] });
  const exit = once(child, 'exit');
  const safe = new Set<string>();
  for await (const id of createInterface({ input: child.stdout })) {
    safe.add(id);
    if (safe.size === count) child.kill('SIGKILL');
  }
  await exit;
  return safe;
}

describe('a process killed while it writes', () => {
  it.each(['written', 'synced'])('loses no record that it was told is %s', async (durability) => {
    const dir = tempDir();
    const safe = new Set<string>();
    for (const count of [1, 137, 2000]) {
      for (const id of await writeAndKill(dir, durability, count)) safe.add(id);
    }
    const writer = await openWriter(dir);
    await writer[Symbol.asyncDispose]();
    const logged = new Set(records(dir).map(({ decision_id: id }) => id));
    expect([...safe].filter((id) => !logged.has(id))).toEqual([]);
    expect(safe.size).toBeGreaterThan(2000);
    expect(await verifyLog(dir)).toMatchObject({
      completeness: 'ok',
      lost: 0,
      byKind: { boot: 4, shutdown: 1 },
    });
  });
});
