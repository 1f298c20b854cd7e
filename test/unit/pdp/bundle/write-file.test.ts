import { mkdirSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { writeAtomically } from '../../../../src/pdp/bundle/write-file.ts';
import { folderWith } from './sample-sets.ts';

describe('atomic write', () => {
  test('replaces the file with a new one of the given mode', async () => {
    const root = folderWith({ file: 'old' });
    const before = statSync(join(root, 'file')).ino;
    await writeAtomically(join(root, 'file'), Buffer.from('new'), 0o600);
    expect(readFileSync(join(root, 'file'), 'utf8')).toBe('new');
    expect(statSync(join(root, 'file')).mode & 0o777).toBe(0o600);
    expect(statSync(join(root, 'file')).ino).not.toBe(before);
    expect(readdirSync(root)).toEqual(['file']);
  });

  test('leaves nothing behind where it fails', async () => {
    const root = folderWith({});
    mkdirSync(join(root, 'file', 'not-empty'), { recursive: true });
    await expect(writeAtomically(join(root, 'file'), Buffer.from('new'), 0o600)).rejects.toThrow();
    expect(readdirSync(root)).toEqual(['file']);
    await expect(writeAtomically(join(root, 'none', 'file'), Buffer.from('new'), 0o600)).rejects.toThrow(
      'ENOENT',
    );
  });

  test('lets concurrent writers end with the whole content of one of them', async () => {
    const root = folderWith({});
    const contents = ['a', 'b', 'c', 'd'].map((letter) => letter.repeat(100_000));
    await Promise.all(contents.map((text) => writeAtomically(join(root, 'file'), Buffer.from(text), 0o600)));
    expect(contents).toContain(readFileSync(join(root, 'file'), 'utf8'));
    expect(readdirSync(root)).toEqual(['file']);
  });
});
