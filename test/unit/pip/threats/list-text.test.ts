import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { InputError } from '../../../../src/pdp/errors.ts';
import { entriesOf } from '../../../../src/pip/threats/list-text.ts';
import { setOf } from './fixture.ts';

function entries(text: string): (readonly [number, string])[] {
  return [...entriesOf(text)].map(({ line, text: entry, problem }) => [line, problem ?? entry]);
}

describe('the text of a list', () => {
  test('is one entry a line, with comments and empty lines', () => {
    const text =
      '# head\n; head\r\n\n10.0.0.1\r\n\t10.0.0.2 \n10.0.0.0/8 ; SBL1\n10.0.0.3 # x ; y\n   # z\nlast';
    expect(entries(text)).toEqual([
      [4, '10.0.0.1'],
      [5, '10.0.0.2'],
      [6, '10.0.0.0/8'],
      [7, '10.0.0.3'],
      [9, 'last'],
    ]);
  });

  test('takes a # or ; inside of an entry for part of it', () => {
    expect(entries('corp/a#b;c\n')).toEqual([[1, 'corp/a#b;c']]);
  });

  test('is an array of strings where it begins with [', () => {
    expect(entries('\n [\n "a",\n\n "b\\n\\u0063" , "#d"\n]\n')).toEqual([
      [3, 'a'],
      [5, 'b\nc'],
      [5, '#d'],
    ]);
    expect(entries('[]')).toEqual([]);
    expect(entries(' [ ] \n')).toEqual([]);
  });

  test.each([
    [
      '["a", 7]',
      [
        [1, 'a'],
        [1, 'is not a string of a JSON array'],
      ],
    ],
    [
      '["a",]',
      [
        [1, 'a'],
        [1, 'is not a string of a JSON array'],
      ],
    ],
    [
      '["a"\n,\n\n{"x":1}]',
      [
        [1, 'a'],
        [4, 'is not a string of a JSON array'],
      ],
    ],
    [
      '["a"',
      [
        [1, 'a'],
        [1, 'the JSON array does not go on with a comma or end here'],
      ],
    ],
    [
      '["a"]["b"]',
      [
        [1, 'a'],
        [1, 'the JSON array does not go on with a comma or end here'],
      ],
    ],
    [
      '["a" "b"]',
      [
        [1, 'a'],
        [1, 'the JSON array does not go on with a comma or end here'],
      ],
    ],
    ['["\\x"]', [[1, 'is not a string of a JSON array']]],
    ['["a\nb"]', [[1, 'is not a string of a JSON array']]],
    ['["abc', [[1, 'is not a string of a JSON array']]],
    ['[', [[1, 'is not a string of a JSON array']]],
    [`["${'x'.repeat(5_000)}"]`, [[1, 'is not a string of a JSON array']]],
  ])('that is %.20j is refused where it stops being an array of strings', (text, expected) => {
    expect(entries(text)).toEqual(expected);
  });

  test('as JSON holds what JSON.parse finds in it, and is refused where JSON.parse refuses', () => {
    const string = fc.string({ unit: 'binary', maxLength: 20 }).filter((text) => !/[\p{Cc}]/u.test(text));
    fc.assert(
      fc.property(fc.array(string), fc.constantFrom(undefined, 1, 2), (strings, indent) => {
        expect(entries(JSON.stringify(strings, undefined, indent)).map(([, text]) => text)).toEqual(strings);
      }),
    );
    fc.assert(
      fc.property(
        fc.array(fc.constantFrom('[', ']', '"', ',', '\\', ' ', 'a', 'b'), { maxLength: 12 }),
        (characters) => {
          const text = `[${characters.join('')}`;
          const refused = [...entriesOf(text)].some(({ problem }) => problem !== undefined);
          let isList = false;
          try {
            const value: unknown = JSON.parse(text);
            isList = Array.isArray(value) && value.every((one) => typeof one === 'string');
          } catch {
            // What is no JSON is no list.
          }
          expect(refused).toBe(!isList);
        },
      ),
      { numRuns: 1_000 },
    );
  });
});

describe('a list that is not right', () => {
  test('is refused whole, with file, line and what was expected', async () => {
    await expect(setOf('ip', '10.0.0.1\n# x\n10.0.0.300\n10.0.0.1/8\n')).rejects.toThrow(
      [
        'the list is not right',
        "  list.txt:3:1: '10.0.0.300' is not an address, a prefix such as 192.0.2.0/24 or 2001:db8::/32, or a range first-last",
        "  list.txt:4:1: '10.0.0.1/8' is not a prefix: bits beyond the first 8 are set",
      ].join('\n'),
    );
  });

  test('names its first twenty problems', async () => {
    const refused: unknown = await setOf('ip', 'x\n'.repeat(100)).catch((error: unknown) => error);
    expect(refused).toBeInstanceOf(InputError);
    expect((refused as InputError).problems).toHaveLength(20);
  });

  test('is quoted within bounds and without what a terminal would take for commands', async () => {
    const refused = setOf('ip', `\u001b[31m${'x'.repeat(9_999)}`);
    await expect(refused).rejects.toThrow(/^.{0,400}$/s);
    await expect(refused).rejects.not.toThrow('\u001b');
  });

  test('is refused where it is longer than it may be', async () => {
    const ips = '10.0.0.1\n10.0.0.2\n10.0.0.3\n';
    expect((await setOf('ip', ips, { maxEntries: 3 })).entries).toBe(3);
    await expect(setOf('ip', ips, { maxEntries: 2 })).rejects.toThrow(
      "list.txt:3:1: '10.0.0.3' is beyond max_entries (2)",
    );
  });

  test.each(['', '\n\n', '# nothing here\n', '[]'])(
    'is refused where it is empty (%j), unless it may be',
    async (text) => {
      await expect(setOf('user', text)).rejects.toThrow(
        'holds no entry; set may_be_empty where that is meant',
      );
      for (const subject of ['user', 'workload'] as const) {
        const empty = await setOf(subject, text, { mayBeEmpty: true });
        expect([empty.entries, empty.has('spiffe://td/a')]).toEqual([0, false]);
      }
      expect((await setOf('ip', text, { mayBeEmpty: true })).has('::1')).toBe(false);
    },
  );
});
