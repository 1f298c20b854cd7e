import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { type LineSource, readLines } from '../../../../src/audit/read/line-reader.ts';
import { loadPack } from '../../../../src/audit/read/pack.ts';
import { tempDir } from '../log-fixture.ts';

const MIB = 1024 * 1024;

async function linesIn(source: LineSource): Promise<string[]> {
  const found: string[] = [];
  for await (const { lines, torn } of readLines(source))
    found.push(...lines.map((line) => `${line.toString()}${torn ? ' (torn)' : ''}`));
  return found;
}

function file(name: string, bytes: Buffer | string): string {
  const path = join(tempDir(), name);
  writeFileSync(path, bytes);
  return path;
}

describe('the lines of a file', () => {
  it('may be empty, torn, and longer than what is read at once', async () => {
    const long = 'x'.repeat(3 * MIB);
    expect(await linesIn({ path: file('a.ndjson', `a\n\n${long}\nb`) })).toEqual(['a', '', long, 'b (torn)']);
    expect(await linesIn({ path: file('b.ndjson', '\n') })).toEqual(['']);
    expect(await linesIn({ path: file('c.ndjson', '') })).toEqual([]);
  });

  it('end at 16 MiB, so that no file takes all memory', async () => {
    const path = file('a.ndjson', Buffer.alloc(18 * MIB, 0x61));
    await expect(linesIn({ path })).rejects.toThrow(RangeError);
  });

  it('may be longer in a pack: a policy set is one', async () => {
    const payload = JSON.stringify({ kind: 'policies', value: { big: 'x'.repeat(20 * MIB) } });
    for (const compressed of [false, true]) {
      const text = Buffer.from(`sha256:1 ${payload}\n`);
      const path = file(`a.blobs${compressed ? '.gz' : ''}`, compressed ? gzipSync(text) : text);
      const pack = await loadPack({ path, compressed });
      expect(pack.get('sha256:1')?.length).toBe(payload.length);
    }
  });

  it('are read from any number of gzip members, and nothing may follow the last', async () => {
    const members = Buffer.concat([gzipSync('a\nb\n'), gzipSync(''), gzipSync('c\n')]);
    const lines = (bytes: Buffer) => linesIn({ path: file('a.ndjson.gz', bytes), compressed: true });
    expect(await lines(members)).toEqual(['a', 'b', 'c']);
    for (const more of [Buffer.alloc(1), Buffer.alloc(2 * MIB), Buffer.from('hidden'), Buffer.of(0x1f, 0x8b)])
      await expect(lines(Buffer.concat([members, more]))).rejects.toThrow();
    await expect(lines(members.subarray(0, -1))).rejects.toThrow();
  });
});
