import { globSync } from 'node:fs';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { describe, expect, it } from 'vitest';

const SRC = fileURLToPath(new URL('../../src/', import.meta.url));
const DIST = fileURLToPath(new URL('../../dist/', import.meta.url));
const threads = globSync('**/*-worker.ts', { cwd: SRC });

describe('what is built', () => {
  it.each(threads)('has the thread %s where it is looked for, with all that it imports', async (file) => {
    const built = pathToFileURL(`${DIST}${file.replace(/\.ts$/, '.js')}`).href;
    // It refuses to run here only once everything that it imports is there.
    await expect(import(built)).rejects.toThrow('runs as a worker only');
  });

  it('is a few files, not one for each module', () => {
    expect(globSync('*.js', { cwd: DIST }).length).toBeLessThan(30);
  });
});
