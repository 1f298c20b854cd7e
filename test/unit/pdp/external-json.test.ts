import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { externalJsonProblem, isReservedKey, toAttributeValue } from '../../../src/pdp/external-json.ts';

function nested(depth: number, leaf: unknown = 1): unknown {
  let value = leaf;
  for (let level = 0; level < depth; level += 1) value = level % 2 === 0 ? [value] : { inner: value };
  return value;
}

describe('external JSON', () => {
  test('takes ordinary JSON', () => {
    const value = { a: [1, -2, 'three', true, null, { b: {} }], ключ: '𝕏', zero: -0, half: 0.5 };
    expect(externalJsonProblem(value)).toBeUndefined();
  });

  test.each(['__entity', '__extn', '__expr', '__proto__'])('refuses the key %s at any depth', (key) => {
    const hostile: unknown = JSON.parse(`{"${key}":{"type":"User","id":"root"}}`);
    for (const depth of [0, 1, 7, 30]) {
      expect(externalJsonProblem(nested(depth, hostile))).toBe(`holds the reserved key '${key}'`);
    }
    expect(toAttributeValue([hostile])).toBeUndefined();
  });

  test('refuses keys with a backslash, which some versions of V8 read for escaped ones', () => {
    expect(externalJsonProblem({ a: { 'b\\u': 1 } })).toBe('holds a key with a backslash');
    expect(externalJsonProblem({ a: 'b\\u' })).toBeUndefined();
  });

  test('does not mistake ordinary words for reserved keys', () => {
    expect(
      externalJsonProblem({ entity: 1, __entity__: 1, __ENTITY: 1, constructor: 1, prototype: 1 }),
    ).toBeUndefined();
    expect(externalJsonProblem({ text: '__entity' })).toBeUndefined();
  });

  test('takes a depth of 32 and refuses 33', () => {
    expect(externalJsonProblem(nested(32))).toBeUndefined();
    expect(externalJsonProblem(nested(33))).toBe('is nested deeper than 32');
  });

  test('refuses a hundred thousand levels without overflowing the stack', () => {
    expect(externalJsonProblem(nested(100_000))).toBe('is nested deeper than 32');
    expect(toAttributeValue(nested(100_000))).toBeUndefined();
  });

  test('refuses a value that contains itself', () => {
    const loop: Record<string, unknown> = {};
    loop['again'] = loop;
    expect(externalJsonProblem(loop)).toBe('is nested deeper than 32');
  });

  test('counts values at every level', () => {
    expect(externalJsonProblem(Array.from({ length: 4_999 }, () => 1))).toBeUndefined();
    expect(externalJsonProblem(Array.from({ length: 5_000 }, () => 1))).toBe('holds more than 5000 values');
    const spread = Array.from({ length: 100 }, () => Array.from({ length: 50 }, () => 1));
    expect(externalJsonProblem(spread)).toBe('holds more than 5000 values');
    expect(externalJsonProblem(spread, { maxNodes: 6_000 })).toBeUndefined();
  });

  test.each([2 ** 53, -(2 ** 53), 1e300, JSON.parse('9007199254740993') as number])(
    'refuses the integer %d',
    (value) => {
      expect(externalJsonProblem({ value })).toBe('holds an integer beyond 2^53 - 1');
      expect(toAttributeValue({ value })).toBeUndefined();
    },
  );

  test('takes the largest exact integers', () => {
    expect(externalJsonProblem([2 ** 53 - 1, -(2 ** 53) + 1])).toBeUndefined();
    expect(toAttributeValue([2 ** 53 - 1])).toEqual([2 ** 53 - 1]);
  });

  test.each([JSON.parse('1e999') as number, Number.NaN])('refuses the number %d', (value) => {
    expect(externalJsonProblem([value])).toBe('holds a number that is out of range');
  });

  test('measures strings and keys in bytes', () => {
    expect(externalJsonProblem('a'.repeat(65_536))).toBeUndefined();
    expect(externalJsonProblem('a'.repeat(65_537))).toBe('holds a string longer than 65536 bytes');
    expect(externalJsonProblem('é'.repeat(32_768))).toBeUndefined();
    expect(externalJsonProblem('é'.repeat(32_769))).toBe('holds a string longer than 65536 bytes');
    expect(externalJsonProblem({ ['k'.repeat(65_537)]: 1 })).toBe('holds a key longer than 65536 bytes');
  });

  test('refuses lone surrogates in strings and keys', () => {
    expect(externalJsonProblem(JSON.parse(String.raw`["\ud800"]`))).toBe(
      'holds a string with a lone surrogate',
    );
    expect(externalJsonProblem(JSON.parse(String.raw`{"\udc00":1}`))).toBe(
      'holds a key with a lone surrogate',
    );
    expect(toAttributeValue('\uD800')).toBeUndefined();
  });

  test.each([undefined, 1n, Symbol('s'), () => 1, new Date(0), new Map(), [undefined]])(
    'refuses %s, which is not JSON',
    (value) => {
      expect(externalJsonProblem(value)).toBe('holds a value that JSON cannot express');
    },
  );

  test('never names a value in its answer', () => {
    expect(externalJsonProblem({ secret: 2 ** 60 })).not.toContain(String(2 ** 60));
  });

  test('finds a reserved key wherever it hides in a generated document', () => {
    const path = fc.array(fc.oneof(fc.constant('list'), fc.stringMatching(/^[a-z]{1,5}$/)), {
      maxLength: 20,
    });
    fc.assert(
      fc.property(fc.jsonValue({ maxDepth: 3 }), path, (bystander, steps) => {
        let value: unknown = JSON.parse('{"__extn":1}');
        for (const step of steps) value = step === 'list' ? [bystander, value] : { bystander, [step]: value };
        expect(externalJsonProblem(value)).toBeDefined();
      }),
    );
  });
});

describe('conversion to Cedar values', () => {
  test('drops null members, since missing is never false', () => {
    expect(toAttributeValue({ a: null, b: { c: null, d: false } })).toEqual({ b: { d: false } });
  });

  test.each([null, [null], [1, [null]], { a: [null] }, 0.5, { a: 1.5 }])('has no value for %j', (value) => {
    expect(toAttributeValue(value)).toBeUndefined();
  });

  test('makes minus zero an ordinary zero', () => {
    expect(Object.is(toAttributeValue(-0), 0)).toBe(true);
  });

  test('gives only strings, safe integers, booleans, arrays and plain records', () => {
    const isCedar = (value: unknown): boolean => {
      if (Array.isArray(value)) return value.every(isCedar);
      if (typeof value === 'object' && value !== null) {
        return Object.entries(value).every(([key, member]) => !isReservedKey(key) && isCedar(member));
      }
      return typeof value === 'string' || typeof value === 'boolean' || Number.isSafeInteger(value);
    };
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        const converted = toAttributeValue(value);
        expect(converted === undefined || isCedar(converted)).toBe(true);
        // Converting twice changes nothing.
        if (converted !== undefined) expect(toAttributeValue(converted)).toEqual(converted);
      }),
    );
  });
});
