import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { SharedEntry } from '../../../../src/pdp/shared-state.ts';
import { ReplicatedEntries } from '../../../../src/pip/shared/replicated-entries.ts';
import { START, manualClock, memoryLog } from '../fixture.ts';
import { entries, entryOf } from './fixture.ts';

function create(maxEntries = 100) {
  const clock = manualClock();
  const log = memoryLog();
  return { clock, log, state: new ReplicatedEntries({ clock, log, maxEntries }) };
}

function stateOf(list: readonly SharedEntry[]): string {
  const { state } = create();
  state.merge(list);
  return JSON.stringify([...state.all()].sort((a, b) => (a.key < b.key ? -1 : 1)));
}

describe('merging entries', () => {
  test('gives one state, whatever the order in which they come and however often', () => {
    fc.assert(
      fc.property(
        fc
          .array(entries(), { maxLength: 12 })
          .chain((list) =>
            fc.tuple(
              fc.constant(list),
              fc.shuffledSubarray([...list, ...list], { minLength: list.length * 2 }),
            ),
          ),
        ([list, shuffled]) => {
          expect(stateOf(shuffled)).toBe(stateOf(list));
        },
      ),
    );
  });

  test('gives one state whether two replicas meet early or late', () => {
    fc.assert(
      fc.property(fc.array(entries()), fc.array(entries()), (one, other) => {
        const left = create().state;
        left.merge(one);
        left.merge(other);
        const right = create().state;
        right.merge(other);
        right.merge(left.all());
        expect(stateOf([...right.all()])).toBe(stateOf([...left.all()]));
      }),
    );
  });

  test('tells of what came into force, and only of that, when all of it is there', () => {
    const { state } = create();
    const told: [string, number][] = [];
    state.onChange((entry) => void told.push([entry.key, state.list('void|').length]));
    state.merge([entryOf({ key: 'void|a' }), entryOf({ key: 'void|b' })]);
    state.merge([entryOf({ key: 'void|a' }), entryOf({ key: 'void|b', at: START - 1 })]);
    expect(told).toEqual([
      ['void|a', 2],
      ['void|b', 2],
    ]);
  });

  test('goes on where a listener fails, and says so', () => {
    const { state, log } = create();
    const told: string[] = [];
    state.onChange(() => {
      throw new Error('broken');
    });
    state.onChange(({ key }) => void told.push(key));
    state.merge([entryOf()]);
    expect(told).toHaveLength(1);
    expect(log.entries).toMatchObject([{ level: 'error', fields: { problem: 'broken' } }]);
  });

  test('tells nobody who has stopped listening', () => {
    const { state } = create();
    const told: SharedEntry[] = [];
    const listener = (entry: SharedEntry) => void told.push(entry);
    const first = state.onChange(listener);
    state.onChange(listener);
    first[Symbol.dispose]();
    state.merge([entryOf()]);
    expect(told).toHaveLength(1);
  });
});

describe('entries that expire', () => {
  test('are gone at their time, for all that ask', () => {
    const { state, clock } = create();
    state.merge([entryOf({ key: 'void|a', expiresAt: START + 10 }), entryOf({ key: 'void|b' })]);
    clock.advance(9);
    expect(state.get('void|a')).toBeDefined();
    clock.advance(1);
    expect(state.get('void|a')).toBeUndefined();
    expect(state.list('void|').map(({ key }) => key)).toEqual(['void|b']);
    expect([...state.all()]).toHaveLength(1);
    expect(state.size).toBe(1);
  });

  test('take no place after their time', () => {
    const { state, clock } = create();
    state.merge([entryOf({ rank: 9, expiresAt: START + 10 })]);
    clock.advance(10);
    expect(state.merge([entryOf({ rank: 1 })])).toHaveLength(1);
    expect(state.get(entryOf().key)).toMatchObject({ rank: 1 });
  });

  test('come into force no more after their time', () => {
    const { state } = create();
    expect(state.merge([entryOf({ expiresAt: START })])).toEqual([]);
  });

  test('leave no memory behind', () => {
    const { state, clock } = create(1_000_000);
    for (let round = 0; round < 100; round += 1) {
      const at = clock.now();
      state.merge(
        Array.from({ length: 100 }, (_, index) =>
          entryOf({ key: `void|${round}.${index}`, at, expiresAt: at + 1_000 + index }),
        ),
      );
      clock.advance(2_500);
      expect(state.size).toBeLessThanOrEqual(100);
    }
  });
});

describe('a list', () => {
  test('holds what begins with the prefix', () => {
    const { state } = create();
    const keys = ['grant|user:1:a|1', 'grant|user:1:a|2', 'grant|user:1:b|1', 'grants|x', 'void|user:1:a'];
    state.merge(keys.map((key) => entryOf({ key })));
    const listed = (prefix: string) => state.list(prefix).map(({ key }) => key);
    expect(listed('grant|')).toEqual(keys.slice(0, 3));
    expect(listed('grant|user:1:a|')).toEqual(keys.slice(0, 2));
    expect(listed('nothing|')).toEqual([]);
    expect(() => listed('grant')).toThrow(RangeError);
  });
});

describe('what may be put', () => {
  test('is not from more than five minutes ahead', () => {
    const { state } = create();
    expect(state.check([entryOf({ at: START + 300_000 })])).toHaveLength(1);
    expect(() => state.check([entryOf({ at: START + 300_001 })])).toThrow(/ahead of the clock/);
  });

  test('is at most a thousand entries', () => {
    const { state } = create();
    expect(() => state.check(Array.from({ length: 1_001 }, () => entryOf()))).toThrow(/more than 1000/);
  });

  test('is bounded by what there is room for, and replacing needs none', () => {
    const { state } = create(2);
    state.merge([entryOf({ key: 'void|a' })]);
    const added = new Set<string>();
    expect(
      state.roomProblem([entryOf({ key: 'void|a', at: 1 }), entryOf({ key: 'void|b' })], added),
    ).toBeUndefined();
    expect(state.roomProblem([entryOf({ key: 'void|b' })], added)).toBeUndefined();
    expect(state.roomProblem([entryOf({ key: 'void|c' })], added)).toMatch(/max_entries: 2/);
  });
});
