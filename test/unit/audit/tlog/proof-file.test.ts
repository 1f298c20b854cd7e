import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { openCheckpoint, signCheckpoint } from '../../../../src/audit/tlog/checkpoint.ts';
import { generateSigningKey } from '../../../../src/audit/tlog/note-key.ts';
import { formatTlogProof, parseTlogProof, verifyTlogProof } from '../../../../src/audit/tlog/proof-file.ts';
import { inclusionProof, rootAt } from '../../../../src/audit/tlog/proofs.ts';
import { tileReaderAt } from '../../../../src/audit/tlog/tiles.ts';
import { TlogError } from '../../../../src/audit/tlog/tlog-error.ts';
import { leavesOf, ORIGIN, storeOf } from './tlog-fixture.ts';

const SIZE = 300;
const leaves = leavesOf(SIZE);
const read = tileReaderAt(SIZE, storeOf(leaves).read);
const key = generateSigningKey(ORIGIN);
const checkpoint = signCheckpoint({ origin: ORIGIN, size: SIZE, root: rootAt(SIZE, read), time: 1 }, [key]);
const leafAt = (index: number): Buffer => leaves[index] ?? Buffer.of();
const proofOf = (index: number) => ({ index, hashes: inclusionProof(index, SIZE, read), checkpoint });
const hash = Buffer.alloc(32).toString('base64');

describe('a tlog-proof', () => {
  test('has the lines that the format fixes', () => {
    const text = formatTlogProof({
      extra: Buffer.from('hi'),
      index: 4,
      hashes: [Buffer.alloc(32)],
      checkpoint,
    });
    expect(text).toBe(`c2sp.org/tlog-proof@v1\nextra aGk=\nindex 4\n${hash}\n\n${checkpoint}`);
    expect(formatTlogProof({ index: 0, hashes: [], checkpoint })).toBe(
      `c2sp.org/tlog-proof@v1\nindex 0\n\n${checkpoint}`,
    );
  });

  test('proves the record that it is for, and no other', () => {
    for (const index of [0, 255, 256, 299]) {
      const proof = parseTlogProof(formatTlogProof(proofOf(index)));
      const head = openCheckpoint(proof.checkpoint, [key], ORIGIN);
      expect(verifyTlogProof(proof, leafAt(index), head)).toBe(true);
      expect(verifyTlogProof(proof, leafAt(index === 0 ? 1 : index - 1), head)).toBe(false);
      expect(verifyTlogProof({ ...proof, index: index === 0 ? 1 : index - 1 }, leafAt(index), head)).toBe(
        false,
      );
    }
  });

  test('survives reading, with any extra data', () => {
    fc.assert(
      fc.property(fc.uint8Array(), fc.integer({ min: 0, max: SIZE - 1 }), (bytes, index) => {
        const extra = bytes.length > 0 ? { extra: Buffer.from(bytes) } : {};
        const proof = { ...proofOf(index), ...extra };
        expect(parseTlogProof(formatTlogProof({ ...proof, extra: bytes }))).toEqual(proof);
      }),
      { numRuns: 50 },
    );
  });

  test.each([
    ['nothing', ''],
    ['another header', 'c2sp.org/tlog-proof@v2\nindex 0\n\nx\n'],
    ['no index', `c2sp.org/tlog-proof@v1\n${hash}\n\nx\n`],
    ['a negative index', 'c2sp.org/tlog-proof@v1\nindex -1\n\nx\n'],
    ['an index with a leading zero', 'c2sp.org/tlog-proof@v1\nindex 01\n\nx\n'],
    ['an index beyond 2^53', 'c2sp.org/tlog-proof@v1\nindex 9007199254740993\n\nx\n'],
    ['extra data that is no base64', 'c2sp.org/tlog-proof@v1\nextra !\nindex 0\n\nx\n'],
    ['extra data twice', 'c2sp.org/tlog-proof@v1\nextra aGk=\nextra aGk=\nindex 0\n\nx\n'],
    ['a hash that is too short', 'c2sp.org/tlog-proof@v1\nindex 0\naGk=\n\nx\n'],
    ['a hash that is no base64', `c2sp.org/tlog-proof@v1\nindex 0\n${hash.replace('A', '!')}\n\nx\n`],
    ['65 hashes', `c2sp.org/tlog-proof@v1\nindex 0\n${`${hash}\n`.repeat(65)}\nx\n`],
    ['no blank line', `c2sp.org/tlog-proof@v1\nindex 0\n${hash}\n`],
    ['a million characters', `c2sp.org/tlog-proof@v1\nindex 0\n\n${'x'.repeat(1_000_001)}`],
  ])('is refused with %s', (_, text) => {
    expect(() => parseTlogProof(text)).toThrow(expect.objectContaining({ code: 'malformed' }));
  });

  test('is read from any text without failing in any other way than by refusing', () => {
    const text = fc.oneof(
      fc.string(),
      fc.string().map((each) => `c2sp.org/tlog-proof@v1\nindex 0\n${each}\nx\n\n`),
    );
    fc.assert(
      fc.property(text, (each) => {
        try {
          expect(parseTlogProof(each)).toHaveProperty('index', 0);
        } catch (error) {
          expect(error).toBeInstanceOf(TlogError);
        }
      }),
    );
  });
});
