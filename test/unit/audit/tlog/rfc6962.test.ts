import { describe, expect, test } from 'vitest';
import { CompactRange } from '../../../../src/audit/tlog/compact-range.ts';
import { EMPTY_ROOT, leafHash } from '../../../../src/audit/tlog/hash.ts';
import { consistencyProof, inclusionProof, rootAt } from '../../../../src/audit/tlog/proofs.ts';
import { tileReaderAt } from '../../../../src/audit/tlog/tiles.ts';
import { verifyConsistency, verifyInclusion } from '../../../../src/audit/tlog/verify-proof.ts';
import { CONSISTENCY, INCLUSION, RECORDS, ROOTS } from './rfc6962-vectors.ts';
import { storeOf } from './tlog-fixture.ts';

const bytes = (hex: string): Buffer => Buffer.from(hex, 'hex');
const hex = (hashes: readonly Uint8Array[]): string[] =>
  hashes.map((each) => Buffer.from(each).toString('hex'));
const leaves = RECORDS.map((record) => leafHash(bytes(record)));
const reader = tileReaderAt(8, storeOf(leaves).read);
const head = (size: number) => ({ size, root: bytes(ROOTS[size] ?? '') });

describe('the test vectors of RFC 6962', () => {
  test('give the root of the empty tree', () => {
    expect(EMPTY_ROOT.toString('hex')).toBe(ROOTS[0]);
    expect(new CompactRange().root().toString('hex')).toBe(ROOTS[0]);
  });

  test('give the root of every size, from tiles and from a compact range', () => {
    const range = new CompactRange();
    for (const [index, leaf] of leaves.entries()) {
      range.append(leaf);
      expect(range.root().toString('hex')).toBe(ROOTS[index + 1]);
      expect(rootAt(index + 1, reader).toString('hex')).toBe(ROOTS[index + 1]);
    }
  });

  test.each(INCLUSION)('give the inclusion proof of record $index', ({ index, proof }) => {
    expect(hex(inclusionProof(index, 8, reader))).toEqual(proof);
    expect(verifyInclusion(leaves[index] ?? EMPTY_ROOT, index, head(8), proof.map(bytes))).toBe(true);
  });

  test.each(CONSISTENCY)('give the consistency proof from size $from', ({ from, proof }) => {
    expect(hex(consistencyProof(from, 8, reader))).toEqual(proof);
    expect(verifyConsistency(head(from), head(8), proof.map(bytes))).toBe(true);
  });
});
