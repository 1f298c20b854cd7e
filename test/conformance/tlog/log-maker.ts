import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { signCheckpoint } from '../../../src/audit/tlog/checkpoint.ts';
import { signEpochCertificate } from '../../../src/audit/tlog/epoch.ts';
import { leafHash } from '../../../src/audit/tlog/hash.ts';
import { generateSigningKey, verifierKeyText, type SigningKey } from '../../../src/audit/tlog/note-key.ts';
import { formatTlogProof } from '../../../src/audit/tlog/proof-file.ts';
import { consistencyProof, inclusionProof } from '../../../src/audit/tlog/proofs.ts';
import { TILE_WIDTH, tilePath, tileReaderAt, type TileReader } from '../../../src/audit/tlog/tiles.ts';
import { TileTree } from '../../../src/audit/tlog/tree.ts';

const ORIGIN = 'example.com/pdp/conformance';
const START = Date.UTC(2026, 0, 2);
const DAY = 86_400_000;
const LINES_PER_SEGMENT = 3000;
const OLDEST_SEGMENT = `segment-${'0'.repeat(20)}.ndjson.gz`;

/** A log in a folder, as it is after two epochs; what the verifier is started with is beside it. */
export interface MadeLog {
  readonly dir: string;
  /** vkey of the identity key. */
  readonly identity: string;
  /** Size of the older checkpoint. */
  readonly olderSize: number;
  readonly remove: () => void;
}

function lineOf(index: number): Buffer {
  const fields = { v: 1, kind: 'decision', log: ORIGIN, index, path: `/é/${'x'.repeat(index % 200)}` };
  return Buffer.from(JSON.stringify(fields));
}

/** Writes a file below a folder, with the folders that it needs. */
function put(dir: string, path: string, content: string | Uint8Array): void {
  const file = join(dir, path);
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, content);
}

function readerOf(dir: string, size: number): TileReader {
  const known = new Set(readdirSync(join(dir, 'tile'), { recursive: true, encoding: 'utf8' }));
  return tileReaderAt(size, (path) =>
    known.has(path.slice('tile/'.length)) ? readFileSync(join(dir, path)) : undefined,
  );
}

function writeSegments(dir: string, size: number): void {
  for (let first = 0; first < size; first += LINES_PER_SEGMENT) {
    const count = Math.min(LINES_PER_SEGMENT, size - first);
    const lines = Array.from({ length: count }, (_, at) => `${lineOf(first + at).toString()}\n`).join('');
    const name = `segment-${String(first).padStart(20, '0')}.ndjson`;
    const isOpen = first + count === size;
    put(dir, isOpen ? name : `${name}.gz`, isOpen ? lines : gzipSync(lines));
  }
}

/** Appends lines up to `size`, writes the tiles and the checkpoint of that size. */
function seal(dir: string, file: string, tree: TileTree, size: number, keys: readonly SigningKey[]): string {
  while (tree.size < size) tree.append(leafHash(lineOf(tree.size)));
  for (const { path, bytes } of tree.takeTiles()) put(dir, path, bytes);
  const time = START + keys.length * DAY;
  const checkpoint = signCheckpoint({ origin: ORIGIN, size, root: tree.root(), time }, keys);
  put(dir, file, checkpoint);
  return checkpoint;
}

function writeKeys(dir: string, identity: SigningKey): [SigningKey, SigningKey] {
  const keys: [SigningKey, SigningKey] = [generateSigningKey(ORIGIN), generateSigningKey(ORIGIN)];
  put(dir, 'keys/identity.vkey', `${verifierKeyText(identity)}\n`);
  for (const [number, key] of keys.entries()) {
    const [notBefore, notAfter] = [START + number * DAY, START + (number + 2) * DAY];
    const certificate = { origin: ORIGIN, number, key, notBefore, notAfter };
    put(dir, `keys/epoch-${number}.note`, signEpochCertificate(certificate, identity));
  }
  return keys;
}

/** Indexes worth a proof file: both ends, and both sides of every kind of tile boundary. */
function indexesToProve(size: number): number[] {
  const indexes = [0, 1, 254, 255, 256, 257, 511, 512, 3000, 65_535, 65_536, size - 2, size - 1];
  return [...new Set(indexes)].filter((index) => index >= 0 && index < size);
}

/**
 * Makes a log of `size` lines in a folder of its own: an older checkpoint under the first epoch key, after which the tree is opened
 * again from its tiles, and the newest under both keys.
 */
export function makeLog(size: number): MadeLog {
  const dir = mkdtempSync(join(tmpdir(), 'pdp-tlog-'));
  const identity = generateSigningKey(ORIGIN);
  const keys = writeKeys(dir, identity);
  const olderSize = Math.ceil(size * 0.6);
  seal(dir, 'evidence/older', new TileTree(), olderSize, [keys[0]]);
  const tree = TileTree.open(olderSize, readerOf(dir, olderSize));
  const checkpoint = seal(dir, 'checkpoint', tree, size, keys);
  writeSegments(dir, size);
  const reader = readerOf(dir, size);
  const consistency = consistencyProof(olderSize, size, reader).map((hash) => hash.toString('base64'));
  put(dir, 'evidence/consistency', `${consistency.join('\n')}\n`);
  for (const index of indexesToProve(size)) {
    const proof = { index, hashes: inclusionProof(index, size, reader), checkpoint };
    put(
      dir,
      `evidence/${index}.tlog-proof`,
      formatTlogProof({ ...proof, extra: Buffer.from(`line ${index}`) }),
    );
  }
  const remove = (): void => rmSync(dir, { recursive: true, force: true, maxRetries: 20 });
  return { dir, identity: verifierKeyText(identity), olderSize, remove };
}

/** Removes the oldest segment of a log, the tiles that hold only its leaves, and the proofs of its lines, as retention does. */
export function prune({ dir }: MadeLog): void {
  rmSync(join(dir, OLDEST_SEGMENT));
  for (let index = 0; (index + 1) * TILE_WIDTH <= LINES_PER_SEGMENT; index++)
    rmSync(join(dir, tilePath(0, index)));
  for (const index of indexesToProve(LINES_PER_SEGMENT)) {
    rmSync(join(dir, `evidence/${index}.tlog-proof`), { force: true });
  }
}
