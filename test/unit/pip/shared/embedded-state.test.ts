import {
  mkdtemp,
  readFile,
  readdir,
  rm,
  stat,
  truncate,
  unlink,
  writeFile,
  appendFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { SharedState } from '../../../../src/pdp/shared-state.ts';
import { type EmbeddedStateOptions, openEmbeddedState } from '../../../../src/pip/shared/embedded-state.ts';
import { type ManualClock, type MemoryLog, START, manualClock, memoryLog } from '../fixture.ts';
import { entryOf } from './fixture.ts';

const HEADER = '{"journal":"cedar-pdp shared state","v":1}\n';

let folder: string;
let journal: string;
let clock: ManualClock;
let log: MemoryLog;
const open = new Set<SharedState>();

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'pdp-state-'));
  journal = join(folder, 'state.ndjson');
  clock = manualClock();
  log = memoryLog();
});

afterEach(async () => {
  for (const state of open) await close(state);
  await rm(folder, { recursive: true });
});

async function start(options: Partial<EmbeddedStateOptions> = {}): Promise<SharedState> {
  const state = await openEmbeddedState({
    clock,
    log,
    maxEntries: 1_000,
    timeoutMs: 5_000,
    journal,
    ...options,
  });
  open.add(state);
  return state;
}

async function close(state: SharedState): Promise<void> {
  open.delete(state);
  await state[Symbol.asyncDispose]();
}

function keysOf(state: SharedState): readonly string[] {
  return state
    .list('void|')
    .map(({ key }) => key)
    .sort();
}

describe('a state in memory', () => {
  test('is current, and holds what was put', async () => {
    const { journal: _, ...memory } = { clock, log, maxEntries: 10, timeoutMs: 5_000, journal };
    const state = await openEmbeddedState(memory);
    open.add(state);
    await state.put([entryOf()]);
    expect(state.get(entryOf().key)).toEqual(entryOf());
    expect(state.lagMs()).toBe(0);
    expect(await readdir(folder)).toEqual([]);
  });

  test('keeps the last tenth of its room for what takes access away', async () => {
    const state = await start({ maxEntries: 20 });
    const seen = Array.from({ length: 18 }, (_, index) => entryOf({ key: `seen|${index}` }));
    await state.put(seen);
    await expect(state.put([entryOf({ key: 'seen|more' })])).rejects.toThrow(/max_entries: 20, a tenth/);
    const together = [
      state.put([entryOf({ key: 'seen|late' })]),
      state.put([entryOf({ key: 'void|a' })], { restricts: true }),
      state.put([entryOf({ key: 'void|b' })], { restricts: true }),
      state.put([entryOf({ key: 'void|c' })], { restricts: true }),
    ];
    const outcomes = await Promise.allSettled(together);
    expect(outcomes.map(({ status }) => status)).toEqual(['rejected', 'fulfilled', 'fulfilled', 'rejected']);
    expect(keysOf(state)).toEqual(['void|a', 'void|b']);
  });

  test('refuses what it has no room for, whole, and takes what replaces', async () => {
    const state = await start({ maxEntries: 2 });
    await state.put([entryOf({ key: 'void|a' })]);
    const both = state.put([entryOf({ key: 'void|b' }), entryOf({ key: 'void|c' })]);
    await expect(both).rejects.toMatchObject({
      name: 'PdpError',
      reason: 'state_unavailable',
      message:
        'shared state: it holds all the entries that it may (max_entries: 2, a tenth of it kept for what takes access away)',
    });
    expect(keysOf(state)).toEqual(['void|a']);
    await state.put([entryOf({ key: 'void|a', at: START + 1 })]);
    expect(state.get('void|a')).toMatchObject({ at: START + 1 });
  });

  test('refuses together what it has no room for, of puts at the same time', async () => {
    const state = await start({ maxEntries: 2 });
    const puts = ['a', 'b', 'c'].map((name) => state.put([entryOf({ key: `void|${name}` })]));
    const outcomes = await Promise.allSettled(puts);
    expect(outcomes.map(({ status }) => status)).toEqual(['fulfilled', 'fulfilled', 'rejected']);
  });

  test('refuses entries that are not right without a word of their value', async () => {
    const state = await start();
    const put = state.put([entryOf({ value: 'secret'.repeat(2_000) })]);
    await expect(put).rejects.toMatchObject({ reason: 'state_unavailable' });
    await expect(put).rejects.not.toThrow(/secret/);
  });

  test('refuses everything once it is closed', async () => {
    const state = await start();
    await close(state);
    await expect(state.put([entryOf()])).rejects.toThrow(/closed/);
  });
});

describe('a journal', () => {
  test('brings everything back', async () => {
    const first = await start();
    await first.put([entryOf({ key: 'void|a', value: { reason: 'é', list: [1, true] } })]);
    await first.put([entryOf({ key: 'void|b', expiresAt: START + 1_000 })]);
    await first.put([entryOf({ key: 'void|a', at: START - 1, value: 'older' })]);
    await close(first);
    clock.advance(1_000);
    const second = await start();
    expect(keysOf(second)).toEqual(['void|a']);
    expect(second.get('void|a')).toMatchObject({ at: START, value: { reason: 'é', list: [1, true] } });
  });

  test('holds what a put has confirmed, without a word to the state', async () => {
    const state = await start();
    await Promise.all(
      Array.from({ length: 50 }, (_, index) => state.put([entryOf({ key: `void|${index}` })])),
    );
    const lines = (await readFile(journal, 'utf8')).trimEnd().split('\n');
    expect(lines).toHaveLength(51);
    expect((await stat(journal)).mode & 0o777).toBe(0o600);
  });

  test('holds puts whole: a torn last one is left out with a line in the log, wherever it is torn', async () => {
    const first = await start();
    await first.put([entryOf({ key: 'void|a' })]);
    const { size: before } = await stat(journal);
    await first.put([entryOf({ key: 'void|b' }), entryOf({ key: 'void|c' })]);
    const { size: after } = await stat(journal);
    await close(first);
    const whole = await readFile(journal);
    for (let size = before + 1; size < after; size += 7) {
      await writeFile(journal, whole.subarray(0, size));
      const state = await start();
      expect(keysOf(state)).toEqual(['void|a']);
      await state.put([entryOf({ key: 'void|d' })]);
      await close(state);
      const again = await start();
      expect(keysOf(again)).toEqual(['void|a', 'void|d']);
      await close(again);
    }
    expect(log.text()).toContain('torn');
  });

  test.each([
    ['is not JSON', 'nonsense\n'],
    ['is not a list', '{"key":"void|a"}\n'],
    ['holds an entry that has a rank or a time that is no integer', '[{"key":"void|a","value":1}]\n'],
    [
      'holds an entry that has a value that holds the reserved key',
      '[{"key":"v|a","rank":0,"at":1,"value":{"__expr":1}}]\n',
    ],
    ['is not JSON', '\0\0\0\n'],
  ])('with a line that %s is refused with file and line, and left as it is', async (problem, line) => {
    const text = `${HEADER}[]\n${line}[]\n`;
    await writeFile(journal, text);
    const starting = start();
    await expect(starting).rejects.toMatchObject({
      name: 'InputError',
      problems: [{ where: journal, line: 3, message: expect.stringContaining(problem) as string }],
    });
    expect(await readFile(journal, 'utf8')).toBe(text);
  });

  test.each(['{"kind":"decision"}\n', 'torn', '\n'])('that is another file (%j) is refused', async (text) => {
    await writeFile(journal, text);
    await expect(start()).rejects.toThrow(/is not a journal of the shared state/);
    expect(await readFile(journal, 'utf8')).toBe(text);
  });

  test('that cannot be read or written is refused', async () => {
    await expect(start({ journal: folder })).rejects.toThrow(/path is a directory/);
    await expect(start({ journal: join(folder, 'none', 'state') })).rejects.toThrow(/cannot be written/);
  });

  test('is written anew when it has grown, and loses nothing', async () => {
    const state = await start({ compactBytes: 4_096 });
    for (let index = 0; index < 300; index += 1)
      await state.put([entryOf({ key: `void|${index % 10}`, at: START - 1_000 + index })]);
    expect((await stat(journal)).size).toBeLessThan(8_192);
    await close(state);
    const again = await start();
    expect(keysOf(again)).toHaveLength(10);
    expect(again.get('void|9')).toMatchObject({ at: START - 1_000 + 299 });
    expect(await readdir(folder)).toEqual(['state.ndjson']);
  });

  test('begins anew from what is left of a rewriting that was cut off', async () => {
    const first = await start();
    await first.put([entryOf()]);
    await close(first);
    await writeFile(`${journal}.new`, 'half');
    expect(keysOf(await start())).toHaveLength(1);
  });

  test.each<[string, () => Promise<void>]>([
    ['another process appends to', () => appendFile(journal, '[]\n')],
    ['somebody cuts', () => truncate(journal, 10)],
    ['somebody removes', () => unlink(journal)],
  ])('that %s refuses the put, and the next one writes it anew', async (_what, harm) => {
    const state = await start();
    await state.put([entryOf({ key: 'void|a' })]);
    await harm();
    await expect(state.put([entryOf({ key: 'void|b' })])).rejects.toMatchObject({
      reason: 'state_unavailable',
    });
    expect(log.text()).toContain('are refused');
    await state.put([entryOf({ key: 'void|c' })]);
    await close(state);
    expect(keysOf(await start())).toEqual(['void|a', 'void|c']);
  });
});
