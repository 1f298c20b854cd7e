import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Doorkeeper } from '../../../src/pdp/doorkeeper.ts';

test('a key is known from the second time on, whatever it is', () => {
  fc.assert(
    fc.property(fc.string(), (key) => {
      const doorkeeper = new Doorkeeper(1000);
      expect([key, key, key].map((each) => doorkeeper.knows(each))).toEqual([false, true, true]);
    }),
  );
});

test('keys are not taken for one another', () => {
  const doorkeeper = new Doorkeeper(1024);
  const known = Array.from({ length: 200_000 }, (_, index) => `key-${index}`).filter((key) =>
    doorkeeper.knows(key),
  );
  expect(known.length).toBeLessThanOrEqual(1);
});

test('it remembers most of as many keys as it was made for, and forgets after many more', () => {
  const doorkeeper = new Doorkeeper(1000);
  const keys = Array.from({ length: 1000 }, (_, index) => `key-${index}`);
  for (const key of keys) doorkeeper.knows(key);
  const remembered = keys.filter((key) => doorkeeper.knows(key)).length;
  expect(remembered).toBeGreaterThan(600);
  for (let index = 0; index < 20_000; index++) doorkeeper.knows(`other-${index}`);
  expect(keys.filter((key) => doorkeeper.knows(key)).length).toBeLessThan(10);
});

test('it can be as small as one key', () => {
  for (const keys of [0, 0.3, 0.5]) {
    const doorkeeper = new Doorkeeper(keys);
    expect(['a', 'a', 'b', 'a'].map((key) => doorkeeper.knows(key))).toEqual([false, true, false, false]);
  }
});
