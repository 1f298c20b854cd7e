import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { verifyLog } from '../../../../src/audit/verify/verify.ts';
import { logSegments } from '../../../../src/audit/read/log-folder.ts';
import { loadPack } from '../../../../src/audit/read/pack.ts';
import { contextBlob, payloadDigest } from '../../../../src/audit/record/blob.ts';
import { line, openWriter, records, recordsOf, tempDir } from '../log-fixture.ts';

const CHILD = fileURLToPath(new URL('writer-child.ts', import.meta.url));
const FATAL_CHILD = fileURLToPath(new URL('crash-child.ts', import.meta.url));

/** Lets a process write until it kills itself at a chosen file operation, and gives the decisions that it called safe. */
async function crashAt(dir: string, operation: string, nth: number, moment: string): Promise<string[]> {
  const args = [FATAL_CHILD, dir, operation, String(nth), moment];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  const exit = once(child, 'exit');
  const safe: string[] = [];
  for await (const id of createInterface({ input: child.stdout })) safe.push(id);
  expect(await exit).toEqual([null, 'SIGKILL']);
  return safe;
}

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

describe('a process killed in the middle of writing', () => {
  const stages: [operation: string, moment: string][] = [
    ['openAppend', 'before'],
    ['openAppend', 'after'],
    ['stat', 'before'],
    ['write', 'before'],
    ['write', 'half'],
    ['write', 'after'],
    ['sync', 'before'],
    ['sync', 'after'],
    ['close', 'before'],
  ];

  it.each(stages)('leaves a log that goes on without a gap: %s, %s', async (operation, moment) => {
    const dir = tempDir();
    const safe: string[] = [];
    for (const nth of [2, 5, 16]) safe.push(...(await crashAt(dir, operation, nth, moment)));
    const writer = await openWriter(dir);
    await writer.append(line('after'), [contextBlob('{"id":"after"}')]);
    await writer[Symbol.asyncDispose]();
    const logged = new Set(records(dir).map(({ decision_id: id }) => id));
    expect(safe.filter((id) => !logged.has(id))).toEqual([]);
    expect(await verifyLog(dir)).toMatchObject({ completeness: 'ok', lost: 0 });
    expect(await blobsMissing(dir)).toEqual([]);
  });
});

/** Decisions whose blob is in no pack, or not the one that its digest says. */
async function blobsMissing(dir: string): Promise<string[]> {
  const missing: string[] = [];
  for (const segment of logSegments(dir)) {
    const pack = await loadPack(segment.pack);
    for (const { decision_id: id } of recordsOf(segment.path)) {
      if (id === undefined) continue;
      const { digest } = contextBlob(JSON.stringify({ id }));
      const payload = pack.get(digest);
      if (payload === undefined || payloadDigest(payload) !== digest) missing.push(id);
    }
  }
  return missing;
}
