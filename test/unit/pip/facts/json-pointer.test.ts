import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { atPointer, isJsonPointer, memberPointer } from '../../../../src/pip/facts/json-pointer.ts';

// The document of RFC 6901 §5.
const DOCUMENT = {
  foo: ['bar', 'baz'],
  '': 0,
  'a/b': 1,
  'c%d': 2,
  'e^f': 3,
  'g|h': 4,
  'i\\j': 5,
  'k"l': 6,
  ' ': 7,
  'm~n': 8,
};

describe('a JSON Pointer', () => {
  test.each([
    ['', DOCUMENT],
    ['/foo', ['bar', 'baz']],
    ['/foo/0', 'bar'],
    ['/', 0],
    ['/a~1b', 1],
    ['/c%d', 2],
    ['/e^f', 3],
    ['/g|h', 4],
    ['/i\\j', 5],
    ['/k"l', 6],
    ['/ ', 7],
    ['/m~0n', 8],
  ])('%j points as RFC 6901 says', (pointer, value) => {
    expect(isJsonPointer(pointer)).toBe(true);
    expect(atPointer(DOCUMENT, pointer)).toEqual(value);
  });

  test.each([
    '/nothing',
    '/foo/2',
    '/foo/-',
    '/foo/00',
    '/foo/length',
    '/toString',
    '/__proto__',
    '/foo/0/0',
  ])('%j points to nothing', (pointer) => {
    expect(atPointer(DOCUMENT, pointer)).toBeUndefined();
  });

  test('that leads to null or through it points to nothing', () => {
    expect(atPointer({ a: null }, '/a')).toBeUndefined();
    expect(atPointer({ a: null }, '/a/b')).toBeUndefined();
  });

  test.each(['a', '/~', '/~2', 'a/b', '#/a'])('is not %j', (text) => {
    expect(isJsonPointer(text)).toBe(false);
  });

  test('to a member finds it, whatever its name', () => {
    fc.assert(
      fc.property(fc.string(), (name) => {
        const document = Object.fromEntries([[name, 'here']]);
        expect(isJsonPointer(memberPointer(name))).toBe(true);
        expect(atPointer(document, memberPointer(name))).toBe('here');
      }),
    );
  });
});
