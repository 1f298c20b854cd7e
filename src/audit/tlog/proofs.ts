import { EMPTY_ROOT, nodeHash } from './hash.ts';
import { readTile, subtreeInTile, TILE_HEIGHT, TILE_WIDTH, type TileReader } from './tiles.ts';

/** The largest power of two below `count` (RFC 6962 section 2.1's k); `count` is at least 2. */
function splitOf(count: number): number {
  let split = 1;
  while (split * 2 < count) split *= 2;
  return split;
}

/** Height of a perfect tree over `leaves` leaves; `undefined` where that is no power of two. */
function perfectHeight(leaves: number): number | undefined {
  const height = Math.round(Math.log2(leaves));
  return 2 ** height === leaves ? height : undefined;
}

/** Hash of a perfect subtree: `height` binary levels above the leaves, the `position`-th there. */
function perfectHash(height: number, position: number, reader: TileReader): Buffer {
  const inTile = height % TILE_HEIGHT;
  const span = 2 ** inTile;
  const first = position * span;
  const index = Math.floor(first / TILE_WIDTH);
  const offset = first - index * TILE_WIDTH;
  const tile = readTile(reader, { level: (height - inTile) / TILE_HEIGHT, index, width: offset + span });
  return subtreeInTile(tile, inTile, offset / span);
}

/** MTH(D[low:high]) of RFC 6962 section 2.1; `low` is a multiple of the largest power of two that fits. */
function rangeHash(low: number, high: number, reader: TileReader): Buffer {
  const height = perfectHeight(high - low);
  if (height !== undefined) return perfectHash(height, low / (high - low), reader);
  const middle = low + splitOf(high - low);
  return nodeHash(rangeHash(low, middle, reader), rangeHash(middle, high, reader));
}

function requireSizes(smaller: number, larger: number): void {
  if (!Number.isSafeInteger(smaller) || !Number.isSafeInteger(larger) || smaller < 0 || smaller > larger) {
    throw new RangeError('positions in a tree are whole numbers, and within it');
  }
}

/**
 * Root of the tree at any size that the tiles reach.
 * @throws TlogError `missing_tile` or `malformed`.
 */
export function rootAt(size: number, reader: TileReader): Buffer {
  requireSizes(0, size);
  return size === 0 ? EMPTY_ROOT : rangeHash(0, size, reader);
}

/**
 * Inclusion proof of a leaf in the tree of `size` leaves: PATH of RFC 6962 section 2.1.1, the leaf's sibling first. It reads
 * level-0 tiles at the leaf itself and at the tree's right edge only, so it works where older ones were pruned.
 * @throws TlogError `missing_tile` or `malformed`.
 */
export function inclusionProof(index: number, size: number, reader: TileReader): Buffer[] {
  requireSizes(index + 1, size);
  requireSizes(0, index);
  const path = (low: number, high: number): Buffer[] => {
    if (high - low === 1) return [];
    const middle = low + splitOf(high - low);
    return index < middle
      ? [...path(low, middle), rangeHash(middle, high, reader)]
      : [...path(middle, high), rangeHash(low, middle, reader)];
  };
  return path(0, size);
}

/**
 * Consistency proof between the trees of two sizes: PROOF of RFC 6962 section 2.1.2. Empty where one of them is empty or they are
 * the same.
 * @throws TlogError `missing_tile` or `malformed`.
 */
export function consistencyProof(from: number, to: number, reader: TileReader): Buffer[] {
  requireSizes(from, to);
  if (from === 0) return [];
  const subproof = (low: number, high: number, known: boolean): Buffer[] => {
    if (from === high) return known ? [] : [rangeHash(low, high, reader)];
    const middle = low + splitOf(high - low);
    return from <= middle
      ? [...subproof(low, middle, known), rangeHash(middle, high, reader)]
      : [...subproof(middle, high, false), rangeHash(low, middle, reader)];
  };
  return subproof(0, to, true);
}
