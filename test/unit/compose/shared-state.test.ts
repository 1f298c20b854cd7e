import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { openSharedState, sharedStateWarnings } from '../../../src/compose/shared-state.ts';
import { manualClock, memoryLog } from '../pip/fixture.ts';
import { entryOf } from '../pip/shared/fixture.ts';

const bounds = { kind: 'embedded', timeout_ms: 5_000, max_entries: 10 } as const;

let folder: string;
let stack: AsyncDisposableStack;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'pdp-state-'));
  stack = new AsyncDisposableStack();
});

afterEach(async () => {
  await stack.disposeAsync();
  await rm(folder, { recursive: true });
});

describe('the embedded shared state of a process', () => {
  test('says at the start that it does not survive, and counts what comes into force', async () => {
    const log = memoryLog();
    const counted: [number, string][] = [];
    const onChanges = (count: number, origin: string) => void counted.push([count, origin]);
    const state = await openSharedState(bounds, { clock: manualClock(), log, onChanges }, stack);
    expect(log.text()).toContain('do not survive a restart');
    await state.put([entryOf(), entryOf({ key: 'void|b' })]);
    expect(counted).toEqual([[2, 'own']]);
    expect(state.size).toBe(2);
    expect(sharedStateWarnings(state, 0)).toEqual([]);
  });

  test('has its journal to itself, in a folder that it makes, and lets go of it', async () => {
    const config = { ...bounds, journal: join(folder, 'new', 'state.ndjson') };
    const parts = { clock: manualClock(), log: memoryLog() };
    await using first = new AsyncDisposableStack();
    const state = await openSharedState(config, parts, first);
    await state.put([entryOf()]);
    await expect(openSharedState(config, parts, stack)).rejects.toThrow(/another process uses it/);
    await first.disposeAsync();
    const again = await openSharedState(config, parts, stack);
    expect(again.get(entryOf().key)).toBeDefined();
    expect(parts.log.text()).not.toContain('do not survive');
  });
});

test('a shared state that lags beyond the bound is a warning', () => {
  const state = { lagMs: () => 6_400 } as Parameters<typeof sharedStateWarnings>[0];
  expect(sharedStateWarnings(state, 6_400)).toEqual([]);
  expect(sharedStateWarnings(state, 5_000)).toEqual([
    'changes of other replicas may have been missed for 6 s (shared_state)',
  ]);
});
