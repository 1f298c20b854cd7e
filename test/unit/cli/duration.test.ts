import fc from 'fast-check';
import { expect, test } from 'vitest';
import { durationSeconds } from '../../../src/cli/duration.ts';
import { InputError } from '../../../src/pdp/errors.ts';

test.each([
  ['90s', 90],
  ['30m', 1800],
  ['8h', 28_800],
  ['1d12h', 129_600],
  ['1h30m', 5400],
])('%s is %i s', (text, seconds) => {
  expect(durationSeconds(text, '--for')).toBe(seconds);
});

test.each(['', '8', 'h', '8x', '-1h', '1.5h', '8 h', '0h', '1h1h', '1h 30m', '9999999s'])(
  "'%s' is no time, and the option is named",
  (text) => {
    expect(() => durationSeconds(text, '--for')).toThrow(/--for: '.*' is not a time such as/);
  },
);

test('whatever is written, it is a positive whole number or refused', () => {
  fc.assert(
    fc.property(fc.string(), (text) => {
      try {
        const seconds = durationSeconds(text, '--for');
        expect(Number.isSafeInteger(seconds) && seconds > 0).toBe(true);
      } catch (error) {
        expect(error).toBeInstanceOf(InputError);
      }
    }),
  );
});
