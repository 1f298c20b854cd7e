import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { readTar, writeTar } from '../../../../src/pdp/bundle/tar.ts';
import { InputError } from '../../../../src/pdp/errors.ts';
import { folderWith } from './sample-sets.ts';

const entryOf = (path: string, content = 'x') => ({ path, content: Buffer.from(content) });

/** An archive of one entry, its header changed and given a checksum that fits. */
function withHeader(change: (header: Buffer) => void): Buffer {
  const tar = writeTar([entryOf('set/a.cedar')]);
  change(tar.subarray(0, 512));
  tar.write(' '.repeat(8), 148);
  const sum = tar.subarray(0, 512).reduce((total, byte) => total + byte, 0);
  tar.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
  return tar;
}

describe('tar', () => {
  test('reads what it wrote, whatever the contents', () => {
    const path = fc.stringMatching(/^[a-z]{1,20}\/[a-z]{1,20}\.cedar$/);
    const content = fc.uint8Array({ maxLength: 1500 }).map((bytes) => Buffer.from(bytes));
    const entries = fc.uniqueArray(fc.record({ path, content }), { selector: (entry) => entry.path });
    fc.assert(
      fc.property(entries, (written) => {
        expect(readTar(writeTar(written))).toEqual(written);
      }),
    );
  });

  test('writes what the system tar reads', () => {
    const folder = folderWith({});
    writeFileSync(join(folder, 'a.tar'), writeTar([entryOf('set/a.cedar', 'permit'), entryOf('b.txt', '')]));
    const listed = execFileSync('tar', ['-tvf', join(folder, 'a.tar')], { encoding: 'utf8' });
    expect(listed).toMatch(/-rw-r--r-- .* 6 .* set\/a\.cedar\n-rw-r--r-- .* 0 .* b\.txt\n$/);
  });

  test('reads what the system tar writes in the ustar format', () => {
    const folder = folderWith({ 'set/a.cedar': 'permit' });
    execFileSync('tar', ['--format=ustar', '-cf', 'a.tar', 'set/a.cedar'], { cwd: folder });
    const tar = execFileSync('cat', [join(folder, 'a.tar')]);
    expect(readTar(tar)).toEqual([entryOf('set/a.cedar', 'permit')]);
  });

  test.each([
    ['1', 'is a hard link'],
    ['2', 'is a symbolic link'],
    ['3', 'is a character device'],
    ['4', 'is a block device'],
    ['5', 'is a folder'],
    ['6', 'is a FIFO'],
    ['x', 'is a pax header'],
    ['g', 'is a pax header'],
    ['L', 'is a GNU long name'],
    ['S', 'is not a regular file'],
    ['7', 'is not a regular file'],
  ])('refuses an entry of type %s by name', (type, message) => {
    const tar = withHeader((header) => header.write(type, 156));
    expect(() => readTar(tar)).toThrow(`set/a.cedar: ${message}`);
  });

  test.each<[string, (header: Buffer) => void, string]>([
    ['a link target', (header) => header.write('/etc/passwd', 157), 'has a link target'],
    ['the GNU magic', (header) => header.write('ustar  \0', 257), 'is not in the POSIX ustar format'],
    ['a path prefix', (header) => header.write('deep', 345), 'has a path of more than 100 characters'],
    ['a binary size', (header) => (header[124] = 0x80), 'has no valid size'],
    ['a size that is no octal number', (header) => header.write('9', 124), 'has no valid size'],
    ['a size beyond the archive', (header) => header.write('77777777777', 124), 'is cut off'],
    ['a name that goes on after its end', (header) => header.write('x', 50), 'bytes after the name'],
  ])('refuses %s', (_, change, message) => {
    expect(() => readTar(withHeader(change))).toThrow(message);
  });

  test('refuses two entries of one path', () => {
    expect(() => readTar(writeTar([entryOf('a'), entryOf('b'), entryOf('a')]))).toThrow(
      'a: is in the archive twice',
    );
  });

  test('refuses more entries than a bundle may hold', () => {
    const entries = (count: number) => Array.from({ length: count }, (_, index) => entryOf(`f${index}`, ''));
    expect(readTar(writeTar(entries(4096)))).toHaveLength(4096);
    expect(() => readTar(writeTar(entries(4097)))).toThrow('f4096: is one more than the 4096 files');
  });

  test('refuses bytes in the padding and after the end, and an end that is not whole', () => {
    const tar = writeTar([entryOf('a')]);
    const padded = Buffer.from(tar);
    padded[513] = 1;
    expect(() => readTar(padded)).toThrow('a: is followed by bytes where padding belongs');
    expect(() => readTar(Buffer.concat([tar, tar]))).toThrow('goes on after its end marker');
    expect(() => readTar(tar.subarray(0, -512))).toThrow('has a cut-off end marker');
    expect(() => readTar(tar.subarray(0, -1))).toThrow('has a cut-off end marker');
    expect(() => readTar(tar.subarray(0, 1024))).toThrow('ends without an end marker');
    expect(() => readTar(Buffer.alloc(0))).toThrow('ends without an end marker');
  });

  test('refuses a header that was changed', () => {
    const tar = writeTar([entryOf('a')]);
    for (let index = 0; index < 512; index += 1) {
      const changed = Buffer.from(tar);
      changed[index] = (changed[index] ?? 0) ^ 0x41;
      expect(() => readTar(changed), `byte ${index}`).toThrow(InputError);
    }
  });

  test('prints a hostile path without its control characters', () => {
    const tar = withHeader((header) => {
      header.write('\u001b[31m\n', 0);
      header.write('2', 156);
    });
    expect(() => readTar(tar)).toThrow('  ?[31m?cedar: is a symbolic link');
  });

  test('throws nothing but InputError, whatever it reads', () => {
    const random = fc.uint8Array({ maxLength: 3000 });
    const spoiled = fc
      .tuple(fc.nat(2047), fc.uint8Array({ minLength: 1, maxLength: 40 }))
      .map(([at, bytes]) => {
        const tar = writeTar([entryOf('set/a.cedar', 'permit')]);
        tar.set(bytes.subarray(0, tar.length - at), at);
        return tar;
      });
    fc.assert(
      fc.property(fc.oneof(random, spoiled), (bytes) => {
        try {
          readTar(Buffer.from(bytes));
        } catch (error) {
          expect(error).toBeInstanceOf(InputError);
        }
      }),
      { numRuns: 2000 },
    );
  });
});
