import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { splitDer } from '../../../../../src/pip/spiffe/x509/der-split.ts';

/** A SEQUENCE with the content, its length in the shortest form. */
function sequence(content: Uint8Array): Buffer {
  const { length } = content;
  const head =
    length < 0x80 ? [length] : length < 0x100 ? [0x81, length] : [0x82, length >> 8, length & 0xff];
  return Buffer.concat([Buffer.of(0x30, ...head), content]);
}

describe('DER sequences one after the other', () => {
  test('are cut into what they were put together from', () => {
    const contents = fc.array(fc.uint8Array({ maxLength: 600 }), { maxLength: 8 });
    fc.assert(
      fc.property(contents, (list) => {
        const elements = list.map(sequence);
        expect(splitDer(Buffer.concat(elements))).toEqual(elements);
      }),
    );
  });

  test('are cut into parts that make up the whole, or not at all', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
        const parts = splitDer(bytes);
        if (parts !== undefined) expect(Buffer.concat(parts)).toEqual(Buffer.from(bytes));
      }),
    );
  });

  test.each([
    ['something that is no SEQUENCE', [0x31, 0]],
    ['a tag without a length', [0x30]],
    ['an element that ends too early', [0x30, 2, 0]],
    ['a length that ends too early', [0x30, 0x82, 1]],
    ['an indefinite length', [0x30, 0x80, 0, 0]],
    ['a length that is not in its shortest form', [0x30, 0x81, 1, 0]],
    ['a length of four bytes', [0x30, 0x84, 0, 0, 0, 0]],
    ['bytes after the last', [0x30, 0, 0]],
  ])('%s is none', (_, bytes) => {
    expect(splitDer(Uint8Array.from(bytes))).toBeUndefined();
  });

  test('nothing at all is no elements', () => {
    expect(splitDer(new Uint8Array())).toEqual([]);
  });
});
