import { mkdtemp, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import type { AttributeSource } from '../../../../src/pdp/ports.ts';
import { type StaticFileOptions, openStaticFile } from '../../../../src/pip/facts/static-file.ts';
import { MACHINE_CLOCK } from '../../../support/clock.ts';
import { eventually } from '../../../support/eventually.ts';
import { type ManualClock, type MemoryLog, START, manualClock, memoryLog } from '../fixture.ts';

const NEVER = new AbortController();

let folder: string;
let file: string;
let clock: ManualClock;
let log: MemoryLog;
const open: AsyncDisposable[] = [];

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'facts-'));
  file = join(folder, 'users.json');
  clock = manualClock();
  log = memoryLog();
});

afterEach(async () => {
  vi.useRealTimers();
  for (const source of open.splice(0)) await source[Symbol.asyncDispose]();
  await rm(folder, { recursive: true });
});

async function source(content: unknown, options: Partial<StaticFileOptions> = {}): Promise<AttributeSource> {
  await writeFile(file, typeof content === 'string' ? content : JSON.stringify(content));
  const opened = await openStaticFile({
    name: 'users',
    file,
    subject: 'user',
    gives: ['department', 'level', 'home', 'groups'],
    onFailure: 'deny',
    freshMs: 60_000,
    clock,
    log,
    ...options,
  });
  open.push(opened);
  return opened;
}

describe('facts from a file', () => {
  test('come with what a wrong one means', async () => {
    const onFailureOf = new Map([['level', 'omit' as const]]);
    expect(await source({}, { onFailureOf })).toMatchObject({ onFailure: 'deny', onFailureOf });
    expect(await source({})).not.toHaveProperty('onFailureOf');
  });

  test('are found by subject id', async () => {
    const users = await source({
      'staff/alice': {
        groups: ['finance', 'finance', 'readers'],
        observed_at: '2026-11-22T10:00:00+01:00',
        department: 'Finance',
        level: 3,
        home: { city: 'Bern', zip: null },
        shoe_size: 44,
      },
    });
    clock.advance(5_000);
    expect(await users.lookup('staff/alice', NEVER)).toEqual({
      status: 'found',
      attributes: { department: 'Finance', level: 3, home: { city: 'Bern' } },
      groups: ['finance', 'readers'],
      observedAt: Date.UTC(2026, 10, 22, 9),
      freshUntil: START + 65_000,
    });
  });

  test('hold no groups where those are not among what is given', async () => {
    const users = await source({ 'staff/alice': { groups: ['admins'], level: 1 } }, { gives: ['level'] });
    expect(await users.lookup('staff/alice', NEVER)).toMatchObject({ groups: [], attributes: { level: 1 } });
  });

  test("are dated by the file's modification where they have no date, which is an assumption", async () => {
    await writeFile(file, '{}');
    const users = await source({ 'staff/bob': {} }, { clock: MACHINE_CLOCK });
    const { mtimeMs } = await stat(file);
    const { observedAt, assumed } = await users.lookup('staff/bob', NEVER);
    expect(Math.abs(observedAt - mtimeMs)).toBeLessThanOrEqual(1);
    expect(assumed).toBe(true);
  });

  test('are not believed to be of a time that has not come yet', async () => {
    const users = await source({ 'staff/bob': { observed_at: '2099-01-01T00:00:00Z' } });
    await utimes(file, 4e9, 4e9);
    expect(await users.lookup('staff/bob', NEVER)).toMatchObject({ assumed: true });
    const { observedAt } = await users.lookup('staff/bob', NEVER);
    expect(observedAt).toBeLessThanOrEqual(clock.now());
  });

  test.each(['staff/mallory', 'constructor', '__proto__', 'toString', ''])(
    'are absent for %j',
    async (id) => {
      const users = await source({ 'staff/alice': {} });
      expect(await users.lookup(id, NEVER)).toMatchObject({ status: 'absent', attributes: {}, groups: [] });
    },
  );

  test('hold only what the file says, never what JavaScript objects inherit', async () => {
    const users = await source(
      { 'staff/alice': { level: 1 } },
      { gives: ['constructor', 'toString', 'level'] },
    );
    expect(await users.lookup('staff/alice', NEVER)).toMatchObject({ attributes: { level: 1 } });
  });

  test('follow a changed file within a second or so', async () => {
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
    const users = await source({ 'staff/alice': { level: 1 } });
    await writeFile(file, JSON.stringify({ 'staff/alice': { level: 2 } }));
    await vi.advanceTimersByTimeAsync(1_000);
    await eventually('the new facts are here', async () =>
      (await users.lookup('staff/alice', NEVER)).attributes['level'] === 2 ? true : undefined,
    );
  });

  test('follow a change of the same size made by an editor that keeps the time', async () => {
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
    const users = await source({ 'staff/alice': { level: 1 } });
    await writeFile(file, JSON.stringify({ 'staff/alice': { level: 2 } }));
    await utimes(file, new Date(START), new Date(START));
    await vi.advanceTimersByTimeAsync(1_000);
    await eventually('the new facts are here', async () =>
      (await users.lookup('staff/alice', NEVER)).attributes['level'] === 2 ? true : undefined,
    );
  });

  test('stay as they were when the new version is bad or gone, which is logged', async () => {
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
    const users = await source({ 'staff/alice': { level: 1 } });
    await writeFile(file, '{"staff/alice": {"level": 1.5}}');
    await vi.advanceTimersByTimeAsync(1_000);
    await eventually('the bad version is logged', () => (log.text().includes("'level'") ? true : undefined));
    await rm(file);
    await vi.advanceTimersByTimeAsync(1_000);
    await eventually('the loss is logged', () => (log.text().includes('does not exist') ? true : undefined));
    expect(await users.lookup('staff/alice', NEVER)).toMatchObject({ attributes: { level: 1 } });
  });
});

describe('a bad file', () => {
  test.each([
    ['{"a": 1,}', /users\.json:1:9: Expected double-quoted property name$/m],
    ['{\n  "a": {},\n  "b": {]\n}', /users\.json:3:9: Expected/],
    ['{\n "a": {}', /users\.json:2:9: /],
    ['nonsense', /users\.json: Unexpected token/],
    ['[]', /users\.json: is not a JSON object$/],
    ['null', /is not a JSON object$/],
    ['{"a": []}', /'a' is not an object$/],
    ['{"a": {"groups": "finance"}}', /'a' has 'groups'/],
    ['{"a": {"groups": [7]}}', /'a' has 'groups'/],
    ['{"a": {"groups": [""]}}', /'a' has 'groups'/],
    ['{"a": {"observed_at": "yesterday"}}', /'a' has an 'observed_at'/],
    ['{"a": {"observed_at": "2026-13-01T00:00:00Z"}}', /'a' has an 'observed_at'/],
    ['{"a": {"level": 1.5}}', /'a' has a value of 'level'/],
    ['{"a": {"level": [null]}}', /'a' has a value of 'level'/],
    ['{"a": {"home": {"__entity": {}}}}', /'a' holds the reserved key '__entity'/],
    ['{"a": {"other": 9007199254740993}}', /'a' holds an integer beyond/],
    ['{"__proto__": {}}', /'__proto__' is a reserved key/],
  ])('is refused at the start: %s', async (content, problem) => {
    await expect(source(content)).rejects.toThrow(problem);
  });

  test('is refused with every problem at once', async () => {
    await expect(source({ a: [], b: { groups: 1 }, c: {}, d: 7 })).rejects.toMatchObject({
      name: 'InputError',
      problems: [{ where: file }, { where: file }, { where: file }],
    });
  });

  test('is named where it is missing', async () => {
    await expect(source({}, { file: join(folder, 'none.json') })).rejects.toThrow(
      /none\.json: the file does not exist/,
    );
  });

  test('does not have its content repeated by the syntax error', async () => {
    await expect(source('{"secret-of-alice": oops}')).rejects.not.toThrow(/secret-of-alice/);
  });
});
