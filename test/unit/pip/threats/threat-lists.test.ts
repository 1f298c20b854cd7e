import { mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { AttributeAnswer } from '../../../../src/pdp/attribute.ts';
import type { AttributeSource } from '../../../../src/pdp/ports.ts';
import {
  type ThreatListSettings,
  type ThreatPoint,
  type ThreatsOptions,
  openThreats,
} from '../../../../src/pip/threats/open-threats.ts';
import { createSlices } from '../../../../src/pip/threats/slices.ts';
import { eventually } from '../../../support/eventually.ts';
import { setOf } from './fixture.ts';
import { type ManualClock, type MemoryLog, START, manualClock, memoryLog } from '../fixture.ts';

const NEVER = new AbortController();
const HOUR = 3_600_000;

let folder: string;
let clock: ManualClock;
let log: MemoryLog;
const open: AsyncDisposable[] = [];

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'threats-'));
  clock = manualClock();
  log = memoryLog();
});

afterEach(async () => {
  for (const source of open.splice(0).reverse()) await source[Symbol.asyncDispose]();
  await rm(folder, { recursive: true });
});

function fileOf(name: string): string {
  return join(folder, `${name}.txt`);
}

/** Replaces a list as operators should: whole. */
async function put(name: string, text: string): Promise<void> {
  await writeFile(`${fileOf(name)}.new`, text);
  await rename(`${fileOf(name)}.new`, fileOf(name));
}

function list(name: string, settings: Partial<ThreatListSettings> = {}): ThreatListSettings {
  return {
    name,
    from: { file: fileOf(name) },
    refreshMs: 10,
    maxAgeMs: HOUR,
    maxEntries: 1_000,
    maxBytes: 100_000,
    mayBeEmpty: false,
    ...settings,
  };
}

async function threats(
  lists: readonly ThreatListSettings[],
  options: Partial<ThreatsOptions> = {},
): Promise<ThreatPoint> {
  const defaults = { name: 'intel', subject: 'ip', onFailure: 'deny', freshMs: 30_000 } as const;
  const source = await openThreats({ ...defaults, clock, log, lists, ...options });
  open.push(source);
  return source;
}

function answer(source: AttributeSource, id: string): AttributeAnswer {
  return source.lookup(id, NEVER) as AttributeAnswer;
}

function threatsOf(source: AttributeSource, id: string): unknown {
  return answer(source, id).attributes['threats'];
}

function logged(message: string): number {
  return log.entries.filter((entry) => entry.message === message).length;
}

describe('threat lists', () => {
  test('give the names of the lists that a subject is on, and at once', async () => {
    await put('tor', '192.0.2.0/24');
    await put('botnet', '192.0.2.7');
    const source = await threats([list('tor'), list('botnet')]);
    expect(source).toMatchObject({ name: 'intel', subject: 'ip', gives: ['threats'], onFailure: 'deny' });
    expect(answer(source, '192.0.2.7')).toEqual({
      status: 'found',
      attributes: { threats: ['botnet', 'tor'] },
      groups: [],
      observedAt: START,
      freshUntil: START + 30_000,
    });
    expect(threatsOf(source, '192.0.2.8')).toEqual(['tor']);
  });

  test('give the empty set, which is not absence, for a subject that is on none', async () => {
    await put('tor', '192.0.2.0/24');
    expect(answer(await threats([list('tor')]), '198.51.100.1')).toMatchObject({
      status: 'found',
      attributes: { threats: [] },
    });
  });

  test('are about workloads, users or devices too', async () => {
    await put('bad', 'spiffe://td/ns/*');
    expect(threatsOf(await threats([list('bad')], { subject: 'workload' }), 'spiffe://td/ns/a')).toEqual([
      'bad',
    ]);
    await put('bad', '["corp/alice"]');
    expect(threatsOf(await threats([list('bad')], { subject: 'user' }), 'corp/alice')).toEqual(['bad']);
    expect(threatsOf(await threats([list('bad')], { subject: 'device' }), 'corp/alice')).toEqual(['bad']);
  });

  test('take a new version in place of the old one within the interval', async () => {
    await put('tor', '192.0.2.1');
    const source = await threats([list('tor')]);
    await put('tor', '192.0.2.2');
    await eventually('the new version', () => threatsOf(source, '192.0.2.2')?.toString() || undefined);
    expect(threatsOf(source, '192.0.2.1')).toEqual([]);
    expect(log.entries.at(-1)).toMatchObject({
      message: 'list changed',
      fields: { list: 'tor', where: fileOf('tor'), entries: 1, bytes: 8 },
    });
  });

  test.each([
    ['with a bad line', '192.0.2.2\nnonsense', /:2:1: 'nonsense' is not an address/],
    ['that is empty', '', /holds no entry/],
    ['with too many entries', '192.0.2.2\n'.repeat(1_001), /beyond max_entries/],
    ['with too many bytes', `192.0.2.2 #${'x'.repeat(100_000)}`, /is longer than 100000 bytes/],
    ['that is not UTF-8', Buffer.from([0x31, 0xff]), /not valid/],
  ])('keep the old version where a new one comes %s, and say so once', async (_what, content, problem) => {
    await put('tor', '192.0.2.1');
    const source = await threats([list('tor')]);
    await writeFile(fileOf('tor'), content);
    const told = await eventually('the refusal', () => log.entries.find(({ level }) => level === 'error'));
    expect(told.message).toBe('list kept as it was');
    expect(JSON.stringify(told.fields)).toMatch(problem);
    expect([threatsOf(source, '192.0.2.1'), threatsOf(source, '192.0.2.2')]).toEqual([['tor'], []]);
    await put('tor', '192.0.2.3');
    await eventually('a good version', () => threatsOf(source, '192.0.2.3')?.toString() || undefined);
    expect(logged('list kept as it was')).toBe(1);
  });

  test.each([
    ['is not there', undefined, 'the file does not exist'],
    ['holds a bad line', '10.0.0.0/40', ":1:1: '10.0.0.0/40' is not an address"],
    ['is empty', '', 'holds no entry'],
    ['is too long', 'x'.repeat(100_001), 'is longer than 100000 bytes'],
  ])('refuse to start where a file %s', async (_what, content, problem) => {
    await put('good', '192.0.2.1');
    if (content !== undefined) await put('tor', content);
    await expect(threats([list('good'), list('tor')])).rejects.toMatchObject({
      name: 'InputError',
      title: "the list 'tor' cannot be used",
      message: expect.stringContaining(problem) as string,
    });
  });

  test.each([
    'http://feeds.example.com/tor',
    'https://user:pw@feeds.example.com/tor',
    'file:///etc/passwd',
    'tor',
  ])('refuse to start with the URL %s', async (url) => {
    await expect(threats([list('tor', { from: { url, timeoutMs: 100 } })])).rejects.toMatchObject({
      name: 'InputError',
      message: expect.not.stringContaining('pw@') as string,
    });
  });
});

describe('a list that is not confirmed any more', () => {
  test('is used up to its age, and from then on fails every lookup, on the list or not', async () => {
    await put('tor', '192.0.2.1');
    await put('botnet', '192.0.2.1');
    const source = await threats([list('tor'), list('botnet', { maxAgeMs: 10 * HOUR })]);
    await rm(fileOf('tor'));
    await eventually('the loss is told', () => logged('list kept as it was') || undefined);
    const confirmedAt = answer(source, '192.0.2.1').observedAt;
    clock.advance(HOUR - 10_000);
    expect(answer(source, '192.0.2.1')).toMatchObject({
      attributes: { threats: ['botnet', 'tor'] },
      observedAt: confirmedAt,
      freshUntil: confirmedAt + HOUR,
    });
    clock.advance(10_001);
    for (const id of ['192.0.2.1', '198.51.100.1'])
      expect(() => source.lookup(id, NEVER)).toThrow(
        expect.objectContaining({
          reason: 'attribute_unavailable',
          message: "list 'tor' was last confirmed 3600 s ago",
        }),
      );
  });

  test('tells when it last was, also beyond its age, and by 0 that it never was', async () => {
    await put('tor', '192.0.2.1');
    const fetch = () => Promise.reject(new Error('down'));
    const from = { url: 'https://lists.example/botnet', timeoutMs: 100 };
    const source = await threats([list('tor'), list('botnet', { from })], { fetch });
    await rm(fileOf('tor'));
    const told = () => log.entries.map(({ message, fields }) => ({ message, ...fields }));
    await eventually('the loss is told', () =>
      told().some(
        (entry) => entry.message === 'list kept as it was' && 'list' in entry && entry.list === 'tor',
      )
        ? true
        : undefined,
    );
    clock.advance(3 * HOUR);
    expect(source.confirmations()).toEqual([
      { source: 'intel', list: 'tor', confirmedAt: START },
      { source: 'intel', list: 'botnet', confirmedAt: 0 },
    ]);
  });

  test('is used again when its file is back, changed or not', async () => {
    await put('tor', '192.0.2.1');
    const source = await threats([list('tor')]);
    await rename(fileOf('tor'), `${fileOf('tor')}.away`);
    await eventually('the loss is told', () => logged('list kept as it was') || undefined);
    clock.advance(2 * HOUR);
    expect(() => source.lookup('192.0.2.1', NEVER)).toThrow(/was last confirmed/);
    const over = 'list may not be used: lookups fail';
    await eventually('that it is over is told', () => logged(over) || undefined);
    await rename(`${fileOf('tor')}.away`, fileOf('tor'));
    const found = await eventually('the list is confirmed', () => {
      try {
        return answer(source, '192.0.2.1');
      } catch {
        return undefined;
      }
    });
    expect(found).toMatchObject({ attributes: { threats: ['tor'] }, observedAt: START + 2 * HOUR });
    await eventually('that it is back is told', () => logged('list is confirmed again') || undefined);
    expect(logged(over)).toBe(1);
  });

  test('is not kept alive by a new version that was refused', async () => {
    await put('tor', '192.0.2.1');
    const source = await threats([list('tor')]);
    await put('tor', 'nonsense');
    await eventually('the refusal', () => logged('list kept as it was') || undefined);
    clock.advance(HOUR + 1);
    await expect(
      eventually(
        'somebody confirms it',
        () => {
          try {
            return answer(source, '192.0.2.1');
          } catch {
            return undefined;
          }
        },
        200,
      ),
    ).rejects.toThrow('not within');
  });

  test('is kept alive by a file that stays as it is, however old the file', async () => {
    await put('tor', '192.0.2.1');
    const source = await threats([list('tor')]);
    for (let passed = 0; passed < 3; passed += 1) {
      clock.advance(HOUR - 1);
      await eventually('the list is confirmed', () =>
        answer(source, '192.0.2.1').observedAt === clock.now() ? true : undefined,
      );
    }
  });
});

describe('long work', () => {
  test('of reading a million lines gives others many turns', async () => {
    const lines = Array.from({ length: 1_000_000 }, (_, n) => `10.${n >> 16}.${(n >> 8) & 255}.${n & 255}`);
    let turns = 0;
    let timer = setImmediate(function count() {
      turns += 1;
      timer = setImmediate(count);
    });
    const set = await setOf('ip', lines.join('\n'));
    clearImmediate(timer);
    expect([set.has('10.15.66.63'), set.has('10.15.66.64')]).toEqual([true, false]);
    // A slice is 4 ms; a machine would have to read a million lines in 80 ms to need fewer.
    expect(turns).toBeGreaterThan(20);
  });

  test('rests when its slice is over, and not before', async () => {
    let now = 0;
    const slices = createSlices(undefined, () => now);
    let turns = 0;
    const count = (): void => void (turns += 1);
    now = 3;
    setImmediate(count);
    await slices.rest();
    expect(turns).toBe(0);
    now = 4;
    await slices.rest();
    expect(turns).toBe(1);
  });

  test('ends where nobody wants it any more', async () => {
    const closing = new AbortController();
    let now = 0;
    const slices = createSlices(closing.signal, () => (now += 10));
    closing.abort(new Error('closed'));
    await expect(slices.rest()).rejects.toThrow('closed');
  });
});
