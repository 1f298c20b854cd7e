import fc from 'fast-check';
import type { AttributeValue } from '../../../../src/pdp/attribute.ts';
import type { SharedEntry } from '../../../../src/pdp/shared-state.ts';
import { readEntry } from '../../../../src/pip/shared/entry.ts';
import { START } from '../fixture.ts';

/** An entry of a test; what is not said is of no interest. */
export function entryOf(parts: Partial<SharedEntry> = {}): SharedEntry {
  return { key: 'void|user:5:alice', rank: 0, at: START, value: true, ...parts };
}

const value: fc.Arbitrary<AttributeValue> = fc.letrec<{ value: AttributeValue }>((tie) => ({
  value: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    fc.constantFrom<AttributeValue>('', 'a', 'b', 'é', '\u{1F600}', '\uFFFD', '~', 'A', 'a"', '\u0000', '\n'),
    fc.string({ unit: 'binary', maxLength: 6 }),
    fc.integer({ min: -2, max: 12 }),
    fc.boolean(),
    fc.array(tie('value'), { maxLength: 3 }),
    fc.dictionary(
      fc
        .string({ unit: 'grapheme', maxLength: 3 })
        .filter((name) => name !== '__proto__' && !name.includes('\\')),
      tie('value'),
      { maxKeys: 3 },
    ),
  ),
})).value;

/** Entries of few keys, ranks, times and values, so that they meet; each in the form in which it is kept. */
export function entries(
  keys: readonly string[] = ['void|a', 'void|b', 'grant|a'],
): fc.Arbitrary<SharedEntry> {
  return fc
    .record(
      {
        key: fc.constantFrom(...keys),
        rank: fc.integer({ min: -1, max: 1 }),
        at: fc.integer({ min: START - 3, max: START }),
        expiresAt: fc.integer({ min: START + 100_000, max: START + 100_002 }),
        value,
      },
      { requiredKeys: ['key', 'rank', 'at', 'value'] },
    )
    .map((given) => {
      const entry = readEntry(given);
      if ('problem' in entry) throw new Error(entry.problem);
      return entry;
    });
}
