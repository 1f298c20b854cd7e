import { join } from 'node:path';
import { gunzipSync, gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { openBundle, packBundle } from '../../../../src/pdp/bundle/bundle.ts';
import { writeManifest } from '../../../../src/pdp/bundle/manifest.ts';
import { keyIdOf } from '../../../../src/pdp/bundle/signature.ts';
import { writeTar } from '../../../../src/pdp/bundle/tar.ts';
import { compileSnapshot } from '../../../../src/pdp/compile-snapshot.ts';
import { InputError } from '../../../../src/pdp/errors.ts';
import { readPolicyTexts } from '../../../../src/pdp/policy-source.ts';
import { bundleOf, FILES, folderWith, newKeys, NOW, policy, repack, retar, SCHEMA } from './sample-sets.ts';

const keys = newKeys();
const trusted = { publicKeys: [keys.publicKey] };
const anyone = { publicKeys: [] };
const root = folderWith();
const sets = [join(root, 'full'), join(root, 'plain')];
const signed = packBundle(sets, { revision: 7, now: NOW, privateKey: keys.privateKey });

/** A bundle of these files with a manifest that fits them. */
function bundleWith(files: Readonly<Record<string, string | Buffer>>): Buffer {
  const contents = new Map(Object.entries(files).map(([path, content]) => [path, Buffer.from(content)]));
  const all = [['manifest.json', writeManifest(contents, 1, NOW)] as const, ...contents];
  return gzipSync(writeTar(all.map(([path, content]) => ({ path, content }))));
}

describe('bundle', () => {
  test('holds the texts, the revision and the signer that were packed', async () => {
    const opened = await openBundle(signed, trusted);
    expect(opened).toMatchObject({
      revision: 7,
      created: '2026-01-01T00:00:00.000Z',
      signedBy: keyIdOf(keys.publicKey),
    });
    const text = (file: string) => ({ file, text: FILES[file] });
    expect(opened.texts).toEqual({
      policies: [text('full/a.cedar'), text('full/b.cedar'), text('plain/plain.cedar')],
      schemas: [text('schema.cedarschema')],
      entities: [text('full/entities.json')],
      bindings: [text('full/bindings.yaml')],
      links: [text('full/links.json')],
    });
  });

  test('compiles to the snapshot that its folders compile to', async () => {
    const { texts } = await openBundle(signed, trusted);
    const { digest } = compileSnapshot(readPolicyTexts(sets), NOW).snapshot;
    expect(compileSnapshot(texts, NOW).snapshot.digest).toBe(digest);
  });

  test('has the same bytes for the same sets, whatever their order and place', () => {
    const copy = folderWith(Object.fromEntries(Object.entries(FILES).reverse()));
    const options = { revision: 7, now: NOW, privateKey: keys.privateKey };
    expect(packBundle([join(copy, 'plain'), join(copy, 'full')], options)).toEqual(signed);
  });

  test('holds the schema of each set that has its own', async () => {
    const own = folderWith({ 'a/a.cedar': policy('a'), 'a/schema.cedarschema': SCHEMA });
    const { texts } = await openBundle(packBundle([join(own, 'a')], { revision: 1, now: NOW }), anyone);
    expect(texts.schemas).toEqual([{ file: 'a/schema.cedarschema', text: SCHEMA }]);
  });

  test('is opened unsigned where no key is configured, and claims no signer', async () => {
    expect(await openBundle(bundleOf('a', 1), anyone)).not.toHaveProperty('signedBy');
    expect(await openBundle(signed, anyone)).not.toHaveProperty('signedBy');
  });

  test('is refused unsigned where a key is configured', async () => {
    await expect(openBundle(bundleOf('a', 1), trusted)).rejects.toThrow('manifest.sig: is missing');
  });

  test('is refused when another key signed it', async () => {
    await expect(openBundle(bundleOf('a', 1, newKeys()), trusted)).rejects.toThrow(
      'manifest.sig: is by the key',
    );
  });

  test('is refused when its signature is stripped, or that of another revision put in', async () => {
    const without = repack(signed, (entries) => entries.filter(({ path }) => path !== 'manifest.sig'));
    await expect(openBundle(without, trusted)).rejects.toThrow('manifest.sig: is missing');
    const newer = repack(signed, (entries) =>
      entries.map((entry) =>
        entry.path === 'manifest.json'
          ? {
              ...entry,
              content: Buffer.from(entry.content.toString().replace('"revision": 7', '"revision": 8')),
            }
          : entry,
      ),
    );
    await expect(openBundle(newer, trusted)).rejects.toThrow(
      'manifest.sig: is not a signature of this manifest',
    );
  });

  test('is refused with a file added, taken out, changed or moved', async () => {
    const added = repack(signed, (entries) => [...entries, { path: 'x/x.cedar', content: Buffer.from('') }]);
    await expect(openBundle(added, trusted)).rejects.toThrow('x/x.cedar: is not in manifest.json');
    const less = repack(signed, (entries) => entries.filter(({ path }) => path !== 'full/b.cedar'));
    await expect(openBundle(less, trusted)).rejects.toThrow('full/b.cedar: is in manifest.json but missing');
    const moved = repack(signed, (entries) =>
      entries.map((entry) => (entry.path === 'full/b.cedar' ? { ...entry, path: 'plain/b.cedar' } : entry)),
    );
    await expect(openBundle(moved, trusted)).rejects.toThrow('plain/b.cedar: is not in manifest.json');
    const swapped = repack(signed, (entries) =>
      entries.map((entry) => ({
        ...entry,
        path: entry.path.replace(/[ab]\.cedar/, (name) => (name === 'a.cedar' ? 'b.cedar' : 'a.cedar')),
      })),
    );
    await expect(openBundle(swapped, trusted)).rejects.toThrow(
      'full/b.cedar: is not what manifest.json says',
    );
  });

  test('is refused without a manifest', async () => {
    const tar = writeTar([{ path: 'a/a.cedar', content: Buffer.from('') }]);
    await expect(openBundle(gzipSync(tar), anyone)).rejects.toThrow('manifest.json: is missing');
    await expect(openBundle(gzipSync(writeTar([])), trusted)).rejects.toThrow('manifest.json: is missing');
  });

  test.each([
    ['/etc/passwd', 'has an absolute path'],
    ['\\windows\\a.cedar', 'has an absolute path'],
    ['C:/a.cedar', 'has an absolute path'],
    ['../a.cedar', "has a path with '.', '..' or empty segments"],
    ['set/../../a.cedar', "has a path with '.', '..' or empty segments"],
    ['./a.cedar', "has a path with '.', '..' or empty segments"],
    ['set//a.cedar', "has a path with '.', '..' or empty segments"],
    ['set/', "has a path with '.', '..' or empty segments"],
    ['.git/a.cedar', 'has a path with other characters'],
    ['set/a b.cedar', 'has a path with other characters'],
    ['set/ä.cedar', 'has a path with other characters'],
    ['a.cedar', 'is not a policy file'],
    ['set/deep/a.cedar', 'is not a policy file'],
    ['set/run.sh', 'is not a policy file'],
    ['set/manifest.json', 'is not a policy file'],
  ])('is refused with the path %s, even if its manifest names it', async (path, message) => {
    const bundle = bundleWith({ 'schema.cedarschema': SCHEMA, 'set/a.cedar': '', [path]: 'x' });
    await expect(openBundle(bundle, anyone)).rejects.toThrow(message);
  });

  test('is refused with a symbolic link in the place of a file', async () => {
    const linked = retar(signed, (tar) => {
      const at = tar.indexOf('plain/plain.cedar', tar.indexOf('schema.cedarschema\0') - 2048);
      const header = tar.subarray(at, at + 512);
      header.write('2', 156);
      const sum = header.reduce((total, byte, index) => total + (index >= 148 && index < 156 ? 32 : byte), 0);
      header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
      return tar;
    });
    await expect(openBundle(linked, trusted)).rejects.toThrow('plain/plain.cedar: is a symbolic link');
  });

  test('is refused without a set, a policy or a schema', async () => {
    await expect(openBundle(bundleWith({}), anyone)).rejects.toThrow('hold no policy set');
    await expect(openBundle(bundleWith({ 'schema.cedarschema': SCHEMA }), anyone)).rejects.toThrow(
      'hold no policy set',
    );
    await expect(openBundle(bundleWith({ 'set/a.cedar': '' }), anyone)).rejects.toThrow(
      'set: has no schema.cedarschema',
    );
    const empty = bundleWith({ 'schema.cedarschema': SCHEMA, 'set/entities.json': '[]' });
    await expect(openBundle(empty, anyone)).rejects.toThrow('set: holds no *.cedar file');
  });

  test('is refused with text that is not UTF-8', async () => {
    const bundle = bundleWith({ 'schema.cedarschema': SCHEMA, 'set/a.cedar': Buffer.from([0xff]) });
    await expect(openBundle(bundle, anyone)).rejects.toThrow('set/a.cedar: is not UTF-8 text');
  });

  test('is refused before it unpacks to more than it may', async () => {
    const bomb = gzipSync(Buffer.alloc(64 * 1024 * 1024 + 1));
    expect(bomb.length).toBeLessThan(100_000);
    await expect(openBundle(bomb, anyone)).rejects.toThrow(
      'is larger than the 67108864 bytes a bundle may have unpacked',
    );
    const big = Buffer.alloc(32 * 1024 * 1024 + 1);
    await expect(openBundle(big, anyone)).rejects.toThrow(
      'is larger than the 33554432 bytes a bundle may have packed',
    );
  });

  test('is refused cut off anywhere, or with more behind it', async () => {
    for (let length = 0; length < signed.length; length += 7)
      await expect(openBundle(signed.subarray(0, length), anyone), `${length} bytes`).rejects.toThrow(
        InputError,
      );
    await expect(openBundle(Buffer.concat([signed, Buffer.from('\0trailing')]), trusted)).rejects.toThrow(
      'goes on after the end of the gzip data',
    );
    await expect(openBundle(Buffer.concat([signed, signed]), trusted)).rejects.toThrow(
      'goes on after its end marker',
    );
  });

  test('is refused or unchanged when any byte of it is changed', async () => {
    const wanted = await openBundle(signed, trusted);
    for (let index = 0; index < signed.length; index += 1) {
      const changed = Buffer.from(signed);
      changed[index] = (changed[index] ?? 0) ^ (1 + (index % 255));
      await expectRefusedOrEqual(changed, wanted);
    }
  });

  test('is refused or unchanged when any bytes of its archive are changed and it is packed again', async () => {
    const wanted = await openBundle(signed, trusted);
    const tar = gunzipSync(signed);
    const change = fc.tuple(fc.nat(tar.length - 1), fc.uint8Array({ minLength: 1, maxLength: 8 }));
    await fc.assert(
      fc.asyncProperty(change, async ([at, bytes]) => {
        const changed = Buffer.from(tar);
        changed.set(bytes.subarray(0, tar.length - at), at);
        await expectRefusedOrEqual(gzipSync(changed, { level: 1 }), wanted);
      }),
      { numRuns: 1000 },
    );
  });
});

async function expectRefusedOrEqual(bytes: Buffer, wanted: unknown): Promise<void> {
  const result = await openBundle(bytes, trusted).catch((error: unknown) => error);
  if (result instanceof Error) expect(result).toBeInstanceOf(InputError);
  else expect(result).toEqual(wanted);
}

describe('packing', () => {
  const options = { revision: 1, now: NOW };
  const pack = (files: Readonly<Record<string, string>>, ...folders: readonly string[]) => {
    const at = folderWith(files);
    return () =>
      packBundle(
        folders.map((folder) => join(at, folder)),
        options,
      );
  };

  test('refuses folders that would not make a bundle that opens', () => {
    expect(pack({}, 'none')).toThrow('none: cannot be read as a folder');
    expect(pack({ 'schema.cedarschema': SCHEMA, 'a/entities.json': '[]' }, 'a')).toThrow(
      'a: holds no *.cedar',
    );
    expect(pack({ '.git/HEAD': '', 'a/a.cedar': '' }, 'a')).toThrow('a: has no schema.cedarschema');
    expect(pack({ 'schema.cedarschema': '', 'a/my policy.cedar': '' }, 'a')).toThrow(
      'a/my policy.cedar: has a path with other characters',
    );
    expect(pack({ 'schema.cedarschema': '', [`a/${'x'.repeat(100)}.cedar`]: '' }, 'a')).toThrow(
      'has a path of more than 100 characters',
    );
  });

  test('refuses two sets of one name, and sets that share different schemas', () => {
    const two = {
      'x/schema.cedarschema': '',
      'x/a/a.cedar': '',
      'y/schema.cedarschema': '',
      'y/a/a.cedar': '',
    };
    expect(pack(two, 'x/a', 'y/a')).toThrow('y/a: has the name of');
    const apart = {
      'x/schema.cedarschema': '',
      'x/a/a.cedar': '',
      'y/schema.cedarschema': '',
      'y/b/b.cedar': '',
    };
    expect(pack(apart, 'x/a', 'y/b')).toThrow('pack them apart');
  });
});
