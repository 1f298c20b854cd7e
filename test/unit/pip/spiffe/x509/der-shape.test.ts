import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { derChildren, derProblem } from '../../../../../src/pip/spiffe/x509/der-shape.ts';
import { explicit, integer, octets, sequence, utf8 } from '../../../../support/der.ts';

const { tree } = fc.letrec<{ tree: Buffer }>((tie) => ({
  tree: fc.oneof(
    { maxDepth: 4 },
    fc.uint8Array({ maxLength: 300 }).map(octets),
    fc.string().map(utf8),
    fc.array(tie('tree'), { maxLength: 3 }).map((items) => sequence(...items)),
    tie('tree').map((item) => explicit(1, item)),
  ),
}));

describe('one DER element', () => {
  test('is right, and its children are what it was made of', () => {
    fc.assert(
      fc.property(fc.array(tree, { maxLength: 4 }), (items) => {
        const whole = sequence(...items);
        expect(derProblem(whole)).toBeUndefined();
        expect(derChildren(whole).map((child) => Buffer.from(child))).toEqual(items);
      }),
    );
  });

  test('is wrong when it is cut off or followed by anything', () => {
    fc.assert(
      fc.property(tree, fc.nat(), (whole, cut) => {
        expect(derProblem(whole.subarray(0, cut % whole.length))).toBeTypeOf('string');
        expect(derProblem(Buffer.concat([whole, Buffer.of(0)]))).toContain('after its end');
      }),
    );
  });

  test.each([
    ['of no bytes', [], 'ends too early'],
    ['of indefinite length', [0x30, 0x80, 0, 0], 'indefinite'],
    ['with a length that is too long by a byte', [0x04, 0x81, 1, 0], 'shortest form'],
    [
      'with a length of two bytes where one does',
      [0x04, 0x82, 0, 0x80, ...Array<number>(128).fill(0)],
      'shortest form',
    ],
    ['with an immense length', [0x04, 0x84, 0xff, 0xff, 0xff, 0xff], 'more than three bytes'],
    ['that holds more than its parent', [0x30, 3, 0x04, 2, 0], 'ends too early'],
    ['whose string is in pieces', [0x24, 3, 0x04, 1, 0], 'wrong form'],
    ['whose sequence is primitive', [0x10, 0], 'wrong form'],
    ['with a long tag', [0x1f, 0x1f, 0], 'more than one byte'],
    ['with an end-of-contents marker', [0x30, 2, 0, 0], 'end-of-contents'],
  ])('is wrong %s', (_what, bytes, words) => {
    expect(derProblem(Uint8Array.from(bytes))).toContain(words);
  });

  test('is wrong when it is nested too deep, without a deep stack', () => {
    let nested = integer(Buffer.of(1));
    for (let depth = 0; depth < 200; depth += 1) nested = sequence(nested);
    expect(derProblem(nested)).toContain('nested deeper');
  });
});
