import fc from 'fast-check';
import { expect, test } from 'vitest';
import { createDecisionCache } from '../../../src/pdp/decision-cache.ts';
import type { CachedEvaluation } from '../../../src/pdp/ports.ts';

const entry = (validUntil: number, policies: readonly string[] = ['p']): CachedEvaluation => ({
  evaluation: { verdict: 'permit', policies, errors: [] },
  decisionId: '0193a5b0-0000-7000-8000-000000000000',
  evaluatedAt: 0,
  validUntil,
});

test('an entry lives until it is no longer valid, to the millisecond', () => {
  const cache = createDecisionCache(1024 * 1024);
  const value = entry(100);
  cache.set('a', value, 0);
  expect(cache.get('a', 99)).toBe(value);
  expect(cache.get('a', 100)).toBeUndefined();
  expect(cache.get('a', 99)).toBeUndefined();
  expect(cache.get('b', 0)).toBeUndefined();
});

test('an entry that is dead already is not taken', () => {
  const cache = createDecisionCache(1024 * 1024);
  cache.set('a', entry(100), 100);
  expect(cache.statistics()).toEqual({ entries: 0, bytes: 0 });
});

test('keys are only themselves, whatever they are called', () => {
  const cache = createDecisionCache(1024 * 1024);
  expect(cache.get('__proto__', 0)).toBeUndefined();
  cache.set('__proto__', entry(1), 0);
  expect(cache.get('__proto__', 0)).toBeDefined();
  expect(cache.get('constructor', 0)).toBeUndefined();
});

test('100 000 distinct keys stay within the bound', () => {
  const maxBytes = 256 * 1024;
  const cache = createDecisionCache(maxBytes);
  for (let index = 0; index < 100_000; index += 1) {
    cache.set(`key-${index}`, entry(1, [`policy-${index % 7}`]), 0);
    if (index % 1000 === 0) expect(cache.statistics().bytes).toBeLessThanOrEqual(maxBytes);
  }
  const { entries, bytes } = cache.statistics();
  expect(bytes).toBeLessThanOrEqual(maxBytes);
  expect(entries).toBeGreaterThan(100);
  expect(entries * 400).toBeLessThan(maxBytes);
});

test('keys that come once drive nothing out of a full cache, and those that come twice get in', () => {
  const cache = createDecisionCache(64 * 1024);
  const used = Array.from({ length: 50 }, (_, index) => `used-${index}`);
  for (const key of used) cache.set(key, entry(1), 0);
  for (let index = 0; index < 100_000; index += 1) cache.set(`once-${index}`, entry(1), 0);
  expect(used.filter((key) => cache.get(key, 0) === undefined)).toEqual([]);
  expect(cache.get('once-99999', 0)).toBeUndefined();
  cache.set('once-99999', entry(1), 0);
  expect(cache.get('once-99999', 0)).toBeDefined();
});

test('what changed gets into a full cache, the room of what is dead is free, and what is not used any more goes', () => {
  const cache = createDecisionCache(4096);
  for (let index = 0; index < 100; index += 1) cache.set(`old-${index}`, entry(10), 0);
  const fresher = entry(20);
  cache.set('old-0', fresher, 0);
  expect(cache.get('old-0', 0)).toBe(fresher);
  expect(cache.get('old-1', 10)).toBeUndefined();
  cache.set('new', entry(20), 10);
  expect(cache.get('new', 10)).toBeDefined();
  for (const key of Array.from({ length: 20 }, (_, index) => `next-${index}`)) {
    cache.set(key, entry(20), 10);
    cache.set(key, entry(20), 10);
    expect(cache.get(key, 10)).toBeDefined();
  }
  expect(cache.get('old-0', 10)).toBeUndefined();
});

test('an entry larger than the whole cache is not taken, and drives nothing out', () => {
  const cache = createDecisionCache(2048);
  cache.set('small', entry(1), 0);
  cache.set('huge', entry(1, ['x'.repeat(4096)]), 0);
  expect(cache.get('huge', 0)).toBeUndefined();
  expect(cache.get('small', 0)).toBeDefined();
});

test('what is read stays longest', () => {
  const cache = createDecisionCache(4096);
  cache.set('hot', entry(1), 0);
  for (let index = 0; index < 100; index += 1) {
    cache.set(`cold-${index}`, entry(1), 0);
    cache.set(`cold-${index}`, entry(1), 0);
    expect(cache.get(`cold-${index}`, 0)).toBeDefined();
    expect(cache.get('hot', 0)).toBeDefined();
  }
});

test('behaves like a map with expiry, as far as it remembers', () => {
  const operation = fc.record({
    key: fc.constantFrom('a', 'b', 'c'),
    set: fc.boolean(),
    life: fc.integer({ min: -2, max: 5 }),
    wait: fc.nat(3),
  });
  fc.assert(
    fc.property(fc.array(operation, { maxLength: 40 }), (operations) => {
      const cache = createDecisionCache(1024 * 1024);
      const model = new Map<string, CachedEvaluation>();
      let now = 0;
      for (const { key, set, life, wait } of operations) {
        now += wait;
        const value = entry(now + life);
        if (set) cache.set(key, value, now);
        if (set && life > 0) model.set(key, value);
        const known = model.get(key);
        expect(cache.get(key, now)).toBe(known && known.validUntil > now ? known : undefined);
      }
    }),
  );
});
