import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { tileFiles } from '../../../../src/audit/read/tile-files.ts';
import { HASH_BYTES } from '../../../../src/audit/tlog/hash.ts';
import { TlogError } from '../../../../src/audit/tlog/tlog-error.ts';
import { tilePath } from '../../../../src/audit/tlog/tiles.ts';
import { tempDir } from '../log-fixture.ts';

function write(dir: string, level: number, index: number, width: number): Buffer {
  const path = join(dir, tilePath(level, index, width));
  mkdirSync(dirname(path), { recursive: true });
  const bytes = Buffer.alloc(width * HASH_BYTES, width);
  writeFileSync(path, bytes);
  return bytes;
}

describe('the tiles of a log folder', () => {
  it('are given as they are asked for', () => {
    const dir = tempDir();
    const [partial, full] = [write(dir, 0, 1234, 7), write(dir, 1, 0, 256)];
    expect(tileFiles(dir)(0, 1234, 7)).toEqual(partial);
    expect(tileFiles(dir)(1, 0, 256)).toEqual(full);
  });

  it('are given from a wider one where there is none of that width', () => {
    const dir = tempDir();
    write(dir, 0, 0, 3);
    const [nine] = [write(dir, 0, 0, 9), write(dir, 0, 0, 200)];
    expect(tileFiles(dir)(0, 0, 5)).toEqual(nine);
    const full = write(dir, 0, 0, 256);
    expect(tileFiles(dir)(0, 0, 5)).toEqual(full);
  });

  it('are absent where there is none that is wide enough', () => {
    const dir = tempDir();
    write(dir, 0, 0, 3);
    writeFileSync(join(dir, 'tile/0/000.p/4.draft'), '');
    expect(tileFiles(dir)(0, 0, 5)).toBeUndefined();
    expect(tileFiles(dir)(0, 1, 1)).toBeUndefined();
    expect(tileFiles(join(dir, 'nowhere'))(0, 0, 1)).toBeUndefined();
  });

  it.each([-32, -1, 1, 32])('are refused where they have %s bytes more than their name says', (more) => {
    const dir = tempDir();
    write(dir, 0, 0, 9);
    writeFileSync(join(dir, tilePath(0, 0, 9)), Buffer.alloc(9 * HASH_BYTES + more));
    expect(() => tileFiles(dir)(0, 0, 9)).toThrow(TlogError);
    expect(() => tileFiles(dir)(0, 0, 4)).toThrow(/tile\/0\/000.p\/9 has/);
  });

  it('are not absent where they cannot be read', () => {
    const dir = tempDir();
    mkdirSync(join(dir, 'tile/0/000'), { recursive: true });
    expect(() => tileFiles(dir)(0, 0, 256)).toThrow(/tile\/0\/000/);
  });
});
