import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { outranks, readEntry } from '../../../../src/pip/shared/entry.ts';
import { entries, entryOf } from './fixture.ts';

describe('an entry', () => {
  test('is kept as a copy with the members of its value in one order', () => {
    const value = { b: [{ d: 1, c: true }], a: '' };
    const kept = readEntry(entryOf({ value }));
    expect(JSON.stringify(kept)).toContain('"value":{"a":"","b":[{"c":true,"d":1}]}');
    expect(kept).not.toBe(value);
  });

  test('is as long as it may be', () => {
    expect(readEntry(entryOf({ key: `v|${'k'.repeat(1022)}`, value: 'v'.repeat(8190) }))).not.toHaveProperty(
      'problem',
    );
  });

  test.each<[string, unknown, RegExp]>([
    ['is no object', [], /not an object/],
    ['has no use in its key', entryOf({ key: 'alice' }), /begins with/],
    ['has a use that is no word', entryOf({ key: 'A b|alice' }), /begins with/],
    ['has a key beyond 1024 bytes', entryOf({ key: `v|${'é'.repeat(512)}` }), /longer than 1024/],
    ['has a key that is not Unicode', entryOf({ key: 'v|\uD800' }), /not Unicode/],
    ['has a rank that is a fraction', entryOf({ rank: 0.5 }), /no integer/],
    ['has a time beyond 2^53', entryOf({ at: 2 ** 53 }), /no integer/],
    ['expires before time began', entryOf({ expiresAt: -1 }), /no time/],
    ['expires at a word', { ...entryOf(), expiresAt: 'never' }, /no time/],
    ['has no value', { ...entryOf(), value: undefined }, /cannot express/],
    ['has null for a value', { ...entryOf(), value: null }, /cannot hold/],
    ['has a fraction in its value', entryOf({ value: { a: 0.5 } }), /cannot hold/],
    [
      'has a hostile key in its value',
      { ...entryOf(), value: { __entity: { type: 'a', id: 'b' } } },
      /reserved/,
    ],
    ['has a value beyond 8 KiB', entryOf({ value: 'é'.repeat(4_096) }), /longer than 8192/],
  ])('is refused where it %s', (_what, given, problem) => {
    expect(readEntry(given)).toEqual({ problem: expect.stringMatching(problem) as string });
  });
});

describe('of two entries of one key', () => {
  test.each([
    ['of the higher rank, however old', { rank: 1, at: 1 }, { rank: 0, at: 2 }],
    ['that is later', { at: 2 }, { at: 1 }],
    ['with the greater bytes', { value: '\u{1F600}' }, { value: '\uFFFD' }],
    ['that expires later', { expiresAt: 2 }, { expiresAt: 1 }],
    ['that never expires', {}, { expiresAt: 1 }],
  ])('the one %s stays', (_what, greater, lesser) => {
    expect(outranks(entryOf(greater), entryOf(lesser))).toBe(true);
    expect(outranks(entryOf(lesser), entryOf(greater))).toBe(false);
  });

  test('exactly one stays, unless they are the same', () => {
    fc.assert(
      fc.property(entries(['v|a']), entries(['v|a']), (one, other) => {
        const same = JSON.stringify(one) === JSON.stringify(other);
        expect(Number(outranks(one, other)) + Number(outranks(other, one))).toBe(same ? 0 : 1);
      }),
    );
  });

  test('the order is one in which of three the greatest is greater than both', () => {
    fc.assert(
      fc.property(fc.tuple(entries(['v|a']), entries(['v|a']), entries(['v|a'])), ([a, b, c]) => {
        if (outranks(a, b) && outranks(b, c)) expect(outranks(a, c)).toBe(true);
      }),
    );
  });
});
