import fc from 'fast-check';
import { expect, test } from 'vitest';
import { decisionId } from '../../../src/pdp/decision-id.ts';

const UUID_V7 = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

test('is a UUIDv7 of its time', () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 2 ** 48 - 1 }), (now) => {
      const id = decisionId(now);
      expect(id).toMatch(UUID_V7);
      expect(Number.parseInt(id.slice(0, 13).replace('-', ''), 16)).toBe(now);
    }),
  );
});

test('never repeats, over many refills of its random pool', () => {
  const ids = Array.from({ length: 20_000 }, () => decisionId(1_700_000_000_000));
  expect(new Set(ids).size).toBe(ids.length);
  expect(ids.every((id) => UUID_V7.test(id))).toBe(true);
});

test('uses all of its random bits', () => {
  const seen = Array.from({ length: 36 }, () => new Set<string>());
  for (let times = 0; times < 2000; times += 1) {
    for (const [at, digit] of decisionId(0).split('').entries()) seen[at]?.add(digit);
  }
  const digits = seen.map((values) => values.size);
  expect(digits.slice(15, 18)).toEqual([16, 16, 16]);
  expect(digits[19]).toBe(4);
  expect(digits.slice(20, 23)).toEqual([16, 16, 16]);
  expect(digits.slice(24)).toEqual(Array.from({ length: 12 }, () => 16));
});

test('sorts by time', () => {
  expect(decisionId(1) < decisionId(2)).toBe(true);
  expect(decisionId(2 ** 40) < decisionId(2 ** 40 + 1)).toBe(true);
});
