import { existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { readLines } from '../../../../src/audit/read/line-reader.ts';
import { tileFiles } from '../../../../src/audit/read/tile-files.ts';
import { compressFile } from '../../../../src/audit/seal/compress-file.ts';
import { prepareIdentity } from '../../../../src/audit/seal/log-identity.ts';
import { nextPruning, prune } from '../../../../src/audit/seal/retention.ts';
import { NODE_SEAL_FS, type SealFs } from '../../../../src/audit/seal/seal-fs.ts';
import type { SealSettings } from '../../../../src/audit/seal/seal-messages.ts';
import { verifyLog } from '../../../../src/audit/verify/verify.ts';
import { CompactRange } from '../../../../src/audit/tlog/compact-range.ts';
import { leafHash } from '../../../../src/audit/tlog/hash.ts';
import { inclusionProof } from '../../../../src/audit/tlog/proofs.ts';
import { verifyInclusion } from '../../../../src/audit/tlog/verify-proof.ts';
import { tempDir } from '../log-fixture.ts';
import { type SealedLog, checkpointOf, expectSealed, linesOf, openSealedLog } from './seal-fixture.ts';

const DAY = 24 * 3_600_000;

/** A log with five segments of 300 decisions, the last of them in use. */
async function openFive(settings: Partial<SealSettings>, betweenMs = 0): Promise<SealedLog> {
  const log = await openSealedLog({ settings });
  prepareIdentity(log.settings);
  for (let segment = 0; segment < 5; segment++) {
    if (segment > 0) log.writer.rotate();
    await log.writer.appendControl('heartbeat', { uptime_s: segment });
    await log.append(299);
    log.clock.advance(betweenMs);
  }
  return log;
}

function segments({ dir }: SealedLog): string[] {
  return readdirSync(dir)
    .filter((name) => name.startsWith('segment-'))
    .sort();
}

function pruned({ dir }: SealedLog): { from: number; to: number; bytes: number; root: string }[] {
  return linesOf(dir)
    .map((bytes) => JSON.parse(bytes.toString()))
    .filter(({ kind }) => kind === 'pruned');
}

/** Compresses until nothing is left to do. */
function compress(log: SealedLog): void {
  while (log.loop.step());
}

describe('closed segments', () => {
  it('are compressed, the very same bytes, once they are sealed', async () => {
    const log = await openFive({ compress: true });
    const before = linesOf(log.dir);
    expect(segments(log)).toHaveLength(5);
    await log.seal();
    compress(log);
    expect(segments(log).map((name) => name.slice(28))).toEqual([
      '.ndjson.gz',
      '.ndjson.gz',
      '.ndjson.gz',
      '.ndjson.gz',
      '.ndjson',
    ]);
    expect(linesOf(log.dir).slice(0, before.length)).toEqual(before);
    expect(expectSealed(log.dir)).toBe(log.writer.nextIndex);
    expect(log.loop.status().problems).toEqual([]);
  });

  it('that are closed while others are being compressed are next', async () => {
    const log = await openFive({ compress: true });
    await log.seal();
    log.loop.step();
    log.writer.rotate();
    await log.append(5);
    await log.seal();
    compress(log);
    expect(segments(log).filter((name) => name.endsWith('.ndjson'))).toHaveLength(1);
  });

  it('are left as they are where that is configured', async () => {
    const log = await openFive({ compress: false });
    await log.seal();
    expect(log.loop.step()).toBe(false);
    expect(segments(log).every((name) => name.endsWith('.ndjson'))).toBe(true);
  });

  it('do not keep the sealer from going on after a restart', async () => {
    const log = await openFive({ compress: true });
    await log.seal();
    compress(log);
    log.restart();
    log.writer.rotate();
    await log.append(5);
    await log.seal();
    compress(log);
    expect(expectSealed(log.dir)).toBe(log.writer.nextIndex);
  });
});

describe('compressing a file', () => {
  function run(path: string, before?: () => void): number {
    let steps = 0;
    for (const _ of compressFile(path, NODE_SEAL_FS)) {
      steps++;
      before?.();
    }
    return steps;
  }

  it('keeps every byte of a file of many steps, for readers of our own and others', async () => {
    const path = join(tempDir(), 'segment.ndjson');
    const text = Array.from(
      { length: 90_000 },
      (_, at) => `{"line":${at},"pad":"${'x'.repeat(at % 150)}"}\n`,
    ).join('');
    writeFileSync(path, text);
    expect(run(path)).toBeGreaterThan(3);
    expect(existsSync(path)).toBe(false);
    expect(gunzipSync(readFileSync(`${path}.gz`)).equals(Buffer.from(text))).toBe(true);
    let lines = 0;
    for await (const { lines: some } of readLines({ path: `${path}.gz`, compressed: true }))
      lines += some.length;
    expect(lines).toBe(90_000);
  });

  it('keeps an empty file', () => {
    const path = join(tempDir(), 'segment.blobs');
    writeFileSync(path, '');
    run(path);
    expect(gunzipSync(readFileSync(`${path}.gz`))).toHaveLength(0);
  });

  it('keeps the original where it is changed meanwhile', () => {
    const path = join(tempDir(), 'segment.blobs');
    writeFileSync(path, 'one\n');
    expect(() => run(path, () => writeFileSync(path, 'another\n'))).toThrow(
      /was changed while it was compressed/,
    );
    expect(readFileSync(path, 'utf8')).toBe('another\n');
    expect(readdirSync(join(path, '..'))).toEqual(['segment.blobs']);
  });

  it('keeps the original where what was written is not what was read', () => {
    const path = join(tempDir(), 'segment.ndjson');
    writeFileSync(path, 'one\n');
    const spoil = () => {
      const draft = `${path}.gz.draft`;
      const bytes = readFileSync(draft);
      bytes[bytes.length - 6] = (bytes.at(-6) ?? 0) ^ 1;
      writeFileSync(draft, bytes);
    };
    expect(() => run(path, spoil)).toThrow();
    expect(readFileSync(path, 'utf8')).toBe('one\n');
    expect(readdirSync(join(path, '..'))).toEqual(['segment.ndjson']);
  });
});

describe('retention', () => {
  it('removes the oldest closed segments while the log is too large, after the log says so', async () => {
    const log = await openFive({ retention: { maxBytes: 80_000 } });
    const leaves = linesOf(log.dir).map((bytes) => leafHash(bytes));
    await log.seal();
    await log.seal();
    const [record] = pruned(log);
    expect(record).toMatchObject({ from: 0 });
    expect(record?.bytes).toBeGreaterThan(30_000);
    expect(segments(log)[0]).toBe(`segment-${String((record?.to ?? 0) + 1).padStart(20, '0')}.ndjson`);
    const range = new CompactRange();
    for (const leaf of leaves.slice(0, (record?.to ?? 0) + 1)) range.append(leaf);
    expect(record?.root).toBe(range.root().toString('base64'));
    expect(pruned(log)).toHaveLength(1);
  });

  it('removes closed segments whose newest record is too old', async () => {
    const log = await openFive({ retention: { days: 3 }, compress: true }, DAY);
    await log.seal();
    compress(log);
    log.clock.advance(0.5 * DAY);
    await log.seal();
    await log.seal();
    const last = pruned(log).at(-1);
    expect(last).toMatchObject({ from: 0 });
    expect(last?.to).toBeLessThan(1200);
    expect(segments(log)[0]).toMatch(String((last?.to ?? 0) + 1));
    log.clock.advance(DAY);
    await log.seal();
    await log.seal();
    // What was said before may be gone: each record says all that is gone.
    expect(pruned(log).at(-1)).toMatchObject({ from: 0 });
    expect(pruned(log).at(-1)?.to).toBeGreaterThan(last?.to ?? 0);
    const report = await verifyLog(log.dir);
    expect(report).toMatchObject({ completeness: 'ok', integrity: 'ok' });
  });

  it('keeps the proofs of all younger records valid, and removes leaf hashes of the others', async () => {
    const log = await openFive({ retention: { maxBytes: 80_000 } });
    await log.seal();
    await log.seal();
    const [record] = pruned(log);
    const first = (record?.to ?? 0) + 1;
    expect(existsSync(join(log.dir, 'tile/0/000'))).toBe(false);
    const head = checkpointOf(log.dir);
    const lines = linesOf(log.dir);
    for (let index = first; index < head.size; index += 7) {
      const proof = inclusionProof(index, head.size, tileFiles(log.dir));
      expect(verifyInclusion(leafHash(lines[index - first] ?? Buffer.alloc(0)), index, head, proof)).toBe(
        true,
      );
    }
  });

  it('lets the log be sealed on, also after a restart', async () => {
    const log = await openFive({ retention: { maxBytes: 80_000 } });
    await log.seal();
    await log.seal();
    log.loop.finish();
    log.restart();
    await log.append(400);
    await log.seal();
    expect(log.loop.status()).toMatchObject({ sealing: true, problems: [], size: log.writer.nextIndex });
  });

  it('removes lines before the tiles below them, and what a crash in between has left goes with the next time', async () => {
    const log = await openFive({});
    await log.seal();
    const gone: string[] = [];
    const fs: SealFs = {
      ...NODE_SEAL_FS,
      remove: (path) => {
        gone.push(path);
        if (path.includes('tile')) throw new Error('killed');
        NODE_SEAL_FS.remove(path);
      },
    };
    const plan = (maxBytes: number) => {
      const { nextIndex, segment } = log.writer.committed.read();
      const progress = { sealed: nextIndex, keepFrom: nextIndex, open: segment, now: 0 };
      const pruning = nextPruning(log.dir, { maxBytes }, progress);
      if (pruning === undefined) throw new Error('nothing to prune');
      return pruning;
    };
    const bytes = linesOf(log.dir).reduce((sum, line) => sum + line.length + 1, 0);
    expect(() => prune(log.dir, plan(bytes * 0.7), fs)).toThrow('killed');
    expect(gone.slice(0, 2).every((path) => path.endsWith('.ndjson'))).toBe(true);
    expect(existsSync(join(log.dir, 'tile/0/000'))).toBe(true);
    prune(log.dir, plan(bytes * 0.3), NODE_SEAL_FS);
    expect(readdirSync(join(log.dir, 'tile/0')).filter((name) => name < '003')).toEqual([]);
  });

  it('removes segments that were compressed after they were said to go, so that none is left without its tiles', async () => {
    const log = await openFive({});
    await log.seal();
    const { nextIndex, segment } = log.writer.committed.read();
    const progress = { sealed: nextIndex, keepFrom: nextIndex, open: segment, now: 0 };
    const pruning = nextPruning(log.dir, { maxBytes: 1 }, progress);
    if (pruning === undefined) throw new Error('nothing to prune');
    for (const path of pruning.segments.flatMap(({ files }) => files))
      for (const _step of compressFile(path, NODE_SEAL_FS));
    prune(log.dir, pruning, NODE_SEAL_FS);
    const left = readdirSync(log.dir).filter((name) => name.startsWith('segment-'));
    expect(left.filter((name) => Number(name.slice(8, 28)) <= pruning.to)).toEqual([]);
    expect(left).not.toEqual([]);
  });

  it('never removes the segment in use', async () => {
    const log = await openSealedLog({
      settings: { retention: { maxBytes: 1024, days: 1 } },
      writer: { segmentMs: 100 * DAY },
    });
    prepareIdentity(log.settings);
    await log.append(500);
    log.clock.advance(10 * DAY);
    await log.seal();
    await log.seal();
    expect(segments(log)).toHaveLength(1);
    expect(pruned(log)).toEqual([]);
  });

  it('keeps what a sink has not delivered', async () => {
    const log = await openFive({ retention: { maxBytes: 1024 }, sinks: ['siem', 'lake'] });
    const cursors = join(log.dir, 'cursors');
    await log.seal();
    expect(pruned(log)).toEqual([]);
    mkdirSync(cursors);
    writeFileSync(join(cursors, 'siem.json'), '{"index":1000}');
    writeFileSync(join(cursors, 'lake.json'), '{"index":650}');
    log.clock.advance(60_000);
    await log.seal();
    await log.seal();
    const [record] = pruned(log);
    expect(record?.to).toBeLessThan(650);
    expect(record?.to).toBeGreaterThan(300);
  });

  it('removes nothing that the log could not say before', async () => {
    const log = await openFive({ retention: { maxBytes: 1024 } });
    log.writer.appendControl = () => Promise.reject(new Error('full'));
    for (let round = 0; round < 5; round++) while (log.loop.round());
    expect(segments(log)).toHaveLength(5);
  });
});
