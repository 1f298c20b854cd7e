import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { EMPTY_ROOT } from '../../../../src/audit/tlog/hash.ts';
import { consistencyProof, inclusionProof, rootAt } from '../../../../src/audit/tlog/proofs.ts';
import { tileReaderAt } from '../../../../src/audit/tlog/tiles.ts';
import {
  verifyConsistency,
  verifyInclusion,
  type TreeHead,
} from '../../../../src/audit/tlog/verify-proof.ts';
import { flipped, leavesOf, rootByDefinition, storeOf } from './tlog-fixture.ts';

const SIZE = 1500;
const leaves = leavesOf(SIZE);
const reader = tileReaderAt(SIZE, storeOf(leaves).read);
const roots = new Map<number, TreeHead>();

function headOf(size: number): TreeHead {
  const head = roots.get(size) ?? { size, root: rootByDefinition(leaves.slice(0, size)) };
  roots.set(size, head);
  return head;
}

const leafAt = (index: number): Buffer => leaves[index] ?? EMPTY_ROOT;
const place = fc
  .integer({ min: 1, max: SIZE })
  .chain((size) => fc.record({ size: fc.constant(size), index: fc.integer({ min: 0, max: size - 1 }) }));
const pair = fc
  .integer({ min: 0, max: SIZE })
  .chain((to) => fc.record({ to: fc.constant(to), from: fc.integer({ min: 0, max: to }) }));

/** Every way to break a proof that is not the identity. */
function broken(proof: readonly Buffer[]): Buffer[][] {
  const flips = proof.map((hash, at) => proof.with(at, flipped(hash, at % 32)));
  const swaps = proof.slice(1).map((_, at) => {
    const [a, b] = [proof[at], proof[at + 1]];
    return a === undefined || b === undefined ? [] : proof.with(at, b).with(at + 1, a);
  });
  const lengths = [[...proof, Buffer.alloc(32)], proof.slice(0, -1), proof.slice(1)];
  return [...flips, ...swaps, ...lengths].filter((each) => !sameProof(each, proof));
}

function sameProof(a: readonly Buffer[], b: readonly Buffer[]): boolean {
  return a.length === b.length && a.every((hash, at) => hash.equals(b[at] ?? EMPTY_ROOT));
}

describe('an inclusion proof', () => {
  test('of every leaf at every size up to 70 holds, and for no other leaf or place', () => {
    for (let size = 1; size <= 70; size++) {
      for (let index = 0; index < size; index++) {
        const proof = inclusionProof(index, size, reader);
        expect(verifyInclusion(leafAt(index), index, headOf(size), proof)).toBe(true);
        expect(verifyInclusion(leafAt(index + 1), index, headOf(size), proof)).toBe(false);
        expect(verifyInclusion(leafAt(index), index + 1, headOf(size), proof)).toBe(false);
        expect(verifyInclusion(leafAt(index), index, { ...headOf(size), size: size + 1 }, proof)).toBe(
          // A size is bound by the root, and some neighbours have paths of the same shape: only the root tells them apart.
          rootShapeIsShared(index, size),
        );
      }
    }
  });

  test('holds at any place of any size, and breaks with any change', () => {
    fc.assert(
      fc.property(place, ({ size, index }) => {
        const proof = inclusionProof(index, size, reader);
        expect(verifyInclusion(leafAt(index), index, headOf(size), proof)).toBe(true);
        expect(verifyInclusion(flipped(leafAt(index), 31), index, headOf(size), proof)).toBe(false);
        const otherRoot = { size, root: flipped(headOf(size).root, 0) };
        expect(verifyInclusion(leafAt(index), index, otherRoot, proof)).toBe(false);
        for (const each of broken(proof)) {
          expect(verifyInclusion(leafAt(index), index, headOf(size), each)).toBe(false);
        }
      }),
      { numRuns: 150 },
    );
  });

  test.each([
    ['an index outside the tree', leafAt(0), 3, headOf(3), []],
    ['a negative index', leafAt(0), -1, headOf(3), []],
    ['an index that is no whole number', leafAt(0), 0.5, headOf(3), []],
    ['an empty tree', leafAt(0), 0, headOf(0), []],
    ['a size that is no number', leafAt(0), 0, { size: Number.NaN, root: leafAt(0) }, []],
    ['a leaf of another length', Buffer.alloc(31), 0, headOf(1), []],
    ['a root of another length', leafAt(0), 0, { size: 1, root: Buffer.alloc(33) }, []],
    ['a hash of another length', leafAt(0), 0, headOf(2), [Buffer.alloc(31)]],
    ['a thousand hashes', leafAt(0), 0, headOf(2), Array.from({ length: 1000 }, () => Buffer.alloc(32))],
  ])('is refused without an error for %s', (_, leaf, index, head, proof) => {
    expect(verifyInclusion(leaf, index, head, proof)).toBe(false);
  });

  test('of a place outside the tree cannot be asked for', () => {
    expect(() => inclusionProof(3, 3, reader)).toThrow(RangeError);
    expect(() => inclusionProof(-1, 3, reader)).toThrow(RangeError);
  });

  test('works for sizes beyond 32 bits', () => {
    const size = 2 ** 40 + 1;
    const left = Buffer.alloc(32, 7);
    const root = rootByDefinition([left, leafAt(0)]);
    expect(verifyInclusion(leafAt(0), size - 1, { size, root }, [left])).toBe(true);
    expect(verifyInclusion(leafAt(0), size - 2, { size, root }, [left])).toBe(false);
  });
});

/** Whether the path of `index` in a tree of one leaf more has the same shape, so that the same proof leads to the same root. */
function rootShapeIsShared(index: number, size: number): boolean {
  const shape = (leavesBelow: number): string => {
    let [node, last, text] = [index, leavesBelow - 1, ''];
    for (; last > 0; [node, last] = [Math.floor(node / 2), Math.floor(last / 2)]) {
      if (node % 2 === 1) text += 'L';
      else if (node < last) text += 'R';
    }
    return text;
  };
  return shape(size) === shape(size + 1);
}

describe('a consistency proof', () => {
  test('between any two sizes up to 70 holds, and between no others', () => {
    for (let to = 1; to <= 70; to++) {
      for (let from = 0; from <= to; from++) {
        const proof = consistencyProof(from, to, reader);
        expect(verifyConsistency(headOf(from), headOf(to), proof)).toBe(true);
        const forged = { size: from, root: flipped(headOf(from).root, 5) };
        expect(verifyConsistency(forged, headOf(to), proof)).toBe(false);
      }
    }
  });

  test('holds between any two sizes, and breaks with any change', () => {
    fc.assert(
      fc.property(pair, ({ from, to }) => {
        const proof = consistencyProof(from, to, reader);
        expect(verifyConsistency(headOf(from), headOf(to), proof)).toBe(true);
        const forged = { size: to, root: flipped(headOf(to).root, 9) };
        // Nothing can be wrong about a tree that grew out of nothing: its root is what the checkpoint says.
        expect(verifyConsistency(headOf(from), forged, proof)).toBe(from === 0 && to > 0);
        for (const each of broken(proof)) {
          expect(verifyConsistency(headOf(from), headOf(to), each)).toBe(false);
        }
      }),
      { numRuns: 150 },
    );
  });

  test('between trees of one size holds for one root only', () => {
    expect(verifyConsistency(headOf(9), headOf(9), [])).toBe(true);
    expect(verifyConsistency(headOf(9), { size: 9, root: headOf(8).root }, [])).toBe(false);
    expect(verifyConsistency(headOf(9), headOf(9), [Buffer.alloc(32)])).toBe(false);
  });

  test('from the empty tree needs the empty root, at both ends where both are empty', () => {
    expect(verifyConsistency(headOf(0), headOf(9), [])).toBe(true);
    expect(verifyConsistency({ size: 0, root: headOf(1).root }, headOf(9), [])).toBe(false);
    const wrong = { size: 0, root: headOf(1).root };
    expect(verifyConsistency(headOf(0), wrong, [])).toBe(false);
    expect(verifyConsistency(wrong, wrong, [])).toBe(false);
  });

  test('never leads backwards', () => {
    expect(verifyConsistency(headOf(9), headOf(8), consistencyProof(8, 9, reader))).toBe(false);
    expect(() => consistencyProof(9, 8, reader)).toThrow(RangeError);
  });
});

describe('the root of a size', () => {
  test('is what the definition says', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: SIZE }), (size) => {
        expect(rootAt(size, reader).equals(headOf(size).root)).toBe(true);
      }),
      { numRuns: 60 },
    );
  });

  test.each([-1, 0.5, Number.NaN])('cannot be asked for size %s', (size) => {
    expect(() => rootAt(size, reader)).toThrow(RangeError);
  });
});
