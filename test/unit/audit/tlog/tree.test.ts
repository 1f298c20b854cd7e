import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { CompactRange } from '../../../../src/audit/tlog/compact-range.ts';
import { consistencyProof, inclusionProof, rootAt } from '../../../../src/audit/tlog/proofs.ts';
import {
  firstDifference,
  partialTiles,
  partialTilesFolder,
  readTile,
  tileLevels,
  tilePath,
  tileReaderAt,
  tileRoot,
  tilesOfLevel,
  tileWidth,
  type TileReader,
} from '../../../../src/audit/tlog/tiles.ts';
import { TileTree } from '../../../../src/audit/tlog/tree.ts';
import { verifyConsistency, verifyInclusion } from '../../../../src/audit/tlog/verify-proof.ts';
import { flipped, leavesOf, rootByDefinition, storeOf, TileStore } from './tlog-fixture.ts';

const BIG = 65_536 + 300;
const leaves = leavesOf(BIG);

function grow(tree: TileTree, to: number): TileTree {
  for (const leaf of leaves.slice(tree.size, to)) tree.append(leaf);
  return tree;
}

describe('the path of a tile', () => {
  test.each([
    [0, 1_234_067, 256, 'tile/0/x001/x234/067'],
    [0, 1_234_067, 8, 'tile/0/x001/x234/067.p/8'],
    [0, 0, 256, 'tile/0/000'],
    [2, 0, 1, 'tile/2/000.p/1'],
    [1, 999, 256, 'tile/1/999'],
    [1, 1000, 256, 'tile/1/x001/000'],
    [63, 123_456, 255, 'tile/63/x123/456.p/255'],
  ])('of level %i, index %i, width %i is %s', (level, index, width, path) => {
    expect(tilePath(level, index, width)).toBe(path);
  });

  test('of partial tiles is below one folder', () => {
    expect(partialTilesFolder(0, 1_234_067)).toBe('tile/0/x001/x234/067.p');
  });
});

describe('the tiles of a tree', () => {
  test('of 70 000 leaves are those of the specification', () => {
    expect([...tilesOfLevel(0, 70_000)].length).toBe(274);
    expect(partialTiles(70_000)).toEqual([
      { level: 0, index: 273, width: 112 },
      { level: 1, index: 1, width: 17 },
      { level: 2, index: 0, width: 1 },
    ]);
    expect(tileWidth(1, 0, 70_000)).toBe(256);
    expect(tileWidth(1, 2, 70_000)).toBe(0);
    expect(tileLevels(70_000)).toBe(3);
  });

  test('of 256 leaves are one full tile and a partial one above it', () => {
    expect(storeOf(leaves.slice(0, 256)).files.keys().toArray()).toEqual(['tile/0/000', 'tile/1/000.p/1']);
  });

  test('of an empty tree are none', () => {
    expect(new TileTree().takeTiles()).toEqual([]);
    expect(partialTiles(0)).toEqual([]);
    expect(tileLevels(0)).toBe(0);
  });

  test('are given once, the full ones before the partial ones', () => {
    const tree = grow(new TileTree(), 600);
    const paths = ['tile/0/000', 'tile/0/001', 'tile/0/002.p/88', 'tile/1/000.p/2'];
    expect(tree.takeTiles().map(({ path }) => path)).toEqual(paths);
    expect(tree.takeTiles().map(({ path }) => path)).toEqual(paths.slice(2));
  });

  test('do not change when the tree grows after they were given', () => {
    const tree = grow(new TileTree(), 300);
    const taken = tree.takeTiles().map(({ bytes }) => ({ bytes, before: Buffer.from(bytes) }));
    grow(tree, 900);
    for (const { bytes, before } of taken) expect(bytes.equals(before)).toBe(true);
  });

  test('hold one level up the root of each full tile below', () => {
    const store = storeOf(leaves.slice(0, 1024));
    const read = tileReaderAt(1024, store.read);
    const above = readTile(read, { level: 1, index: 0, width: 4 });
    const roots = [0, 1, 2, 3].map((index) => tileRoot(readTile(read, { level: 0, index, width: 256 })));
    expect(above.equals(Buffer.concat(roots))).toBe(true);
  });
});

describe('a growing tree', () => {
  test('has the root of the definition, and of a compact range, at every size', () => {
    const tree = new TileTree();
    const range = new CompactRange();
    const exact = new Set([1, 2, 255, 256, 257, 511, 512, 513, 1000]);
    for (const leaf of leaves.slice(0, 1000)) {
      tree.append(leaf);
      range.append(leaf);
      expect(tree.root().equals(range.root())).toBe(true);
      if (!exact.has(tree.size)) continue;
      expect(tree.root().equals(rootByDefinition(leaves.slice(0, tree.size)))).toBe(true);
    }
  });

  test.each([0, 1, 255, 256, 257, 65_535, 65_536, 65_537, BIG])(
    'that is opened again at %i leaves goes on as if it had never stopped',
    (size) => {
      const store = storeOf(leaves.slice(0, size));
      const again = TileTree.open(size, tileReaderAt(size, store.read));
      expect(again.size).toBe(size);
      expect(again.root().equals(grow(new TileTree(), size).root())).toBe(true);
      const more = Math.min(size + 300, BIG);
      expect(grow(again, more).root().equals(grow(new TileTree(), more).root())).toBe(true);
      store.seal(again);
      expect(rootAt(more, tileReaderAt(more, store.read)).equals(again.root())).toBe(true);
    },
  );

  test('gives the same tiles, whenever they are taken and however often it is opened again', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 700 }), { minLength: 1, maxLength: 6 }), (steps) => {
        const store = new TileStore();
        let size = 0;
        for (const step of steps) {
          const tree = TileTree.open(size, tileReaderAt(size, store.read));
          size += step;
          store.seal(grow(tree, size));
        }
        for (const [path, bytes] of storeOf(leaves.slice(0, size)).files) {
          expect(Buffer.compare(store.files.get(path) ?? Buffer.of(), bytes)).toBe(0);
        }
      }),
      { numRuns: 40 },
    );
  });

  test('refuses what is not a leaf hash', () => {
    expect(() => new TileTree().append(Buffer.alloc(31))).toThrow(RangeError);
  });

  test('cannot be opened without its right edge, or with a torn one', () => {
    const store = storeOf(leaves.slice(0, 300));
    store.files.set('tile/0/001.p/44', Buffer.alloc(44 * 32 - 1));
    expect(() => TileTree.open(300, tileReaderAt(300, store.read))).toThrow(/has 1407 bytes/);
    store.files.delete('tile/0/001.p/44');
    expect(() => TileTree.open(300, tileReaderAt(300, store.read))).toThrow(/no tile\/0\/001\.p\/44/);
    expect(() => TileTree.open(-1, tileReaderAt(0, store.read))).toThrow(RangeError);
  });
});

describe('the reader of a size', () => {
  test('takes the full tile where the partial one is gone, because the tree grew meanwhile', () => {
    const store = storeOf(leaves.slice(0, 600), [300]);
    const before = rootAt(300, tileReaderAt(300, store.read));
    store.files.delete('tile/0/001.p/44');
    expect(rootAt(300, tileReaderAt(300, store.read)).equals(before)).toBe(true);
  });

  test('gives roots and proofs of every older size from the tiles of the newest', () => {
    const store = storeOf(leaves.slice(0, 70_000 - 5000));
    const read = tileReaderAt(65_000, store.read);
    for (const size of [1, 255, 256, 257, 511, 4096, 64_999]) {
      const range = new CompactRange();
      for (const leaf of leaves.slice(0, size)) range.append(leaf);
      const older = { size, root: range.root() };
      expect(rootAt(size, read).equals(older.root)).toBe(true);
      const newer = { size: 65_000, root: rootAt(65_000, read) };
      expect(verifyConsistency(older, newer, consistencyProof(size, 65_000, read))).toBe(true);
    }
  });

  test('has nothing beyond its size', () => {
    const read: TileReader = tileReaderAt(10, storeOf(leaves.slice(0, 300)).read);
    expect(read(0, 0, 11)).toBeUndefined();
    expect(() => rootAt(11, read)).toThrow(/no tile/);
  });

  test('refuses a tile that is too long', () => {
    const id = { level: 0, index: 0, width: 1 };
    expect(() => readTile(() => Buffer.alloc(257 * 32), id)).toThrow(/8224 bytes/);
  });
});

describe('a pruned log', () => {
  const store = storeOf(leaves);
  store.pruneLeavesBelow(200);
  const read = tileReaderAt(BIG, store.read);
  const head = { size: BIG, root: grow(new TileTree(), BIG).root() };

  test('still has the root, and proves every entry that is left', () => {
    expect(rootAt(BIG, read).equals(head.root)).toBe(true);
    for (const index of [200 * 256, 200 * 256 + 1, 65_535, 65_536, BIG - 1]) {
      const leaf = leaves[index] ?? Buffer.of();
      expect(verifyInclusion(leaf, index, head, inclusionProof(index, BIG, read))).toBe(true);
    }
  });

  test('still proves that it grew out of every size that is left', () => {
    for (const size of [200 * 256, 200 * 256 + 77, 65_536, BIG - 1]) {
      const older = { size, root: grow(new TileTree(), size).root() };
      expect(verifyConsistency(older, head, consistencyProof(size, BIG, read))).toBe(true);
    }
  });

  test('says which tile it lacks for an entry that is gone', () => {
    expect(() => inclusionProof(199 * 256, BIG, read)).toThrow(
      expect.objectContaining({ code: 'missing_tile', message: 'no tile/0/199.p/2' }),
    );
  });
});

describe('comparing leaf hashes with a tile', () => {
  const tile = Buffer.concat(leaves.slice(0, 256));

  test('names the first that differs', () => {
    expect(firstDifference(tile, tile)).toBeUndefined();
    expect(firstDifference(flipped(tile, 77 * 32 + 31), tile)).toBe(77);
    expect(firstDifference(tile.subarray(0, 40 * 32), tile)).toBe(40);
    expect(firstDifference(tile, tile.subarray(0, 40 * 32))).toBe(40);
  });
});
