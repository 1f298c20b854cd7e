import { renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { openBundle, packBundle } from '../../../../src/pdp/bundle/bundle.ts';
import { readRootFolder } from '../../../../src/pdp/bundle/policy-folders.ts';
import { keyIdOf } from '../../../../src/pdp/bundle/signature.ts';
import { signFolder, verifyFolder } from '../../../../src/pdp/bundle/signed-folder.ts';
import { readTar } from '../../../../src/pdp/bundle/tar.ts';
import { FILES, folderWith, newKeys, NOW, policy } from './sample-sets.ts';

const keys = newKeys();
const trusted = { publicKeys: [keys.publicKey] };

async function signedFolder(revision = 7): Promise<string> {
  const root = folderWith();
  await signFolder(root, readRootFolder(root), { revision, now: NOW, privateKey: keys.privateKey });
  return root;
}

describe('signed folder', () => {
  test('gives the verified texts under the names of their files', async () => {
    const root = await signedFolder();
    const opened = verifyFolder(root, trusted);
    expect(opened).toMatchObject({ revision: 7, signedBy: keyIdOf(keys.publicKey) });
    expect(opened.texts.policies[0]).toEqual({
      file: join(root, 'full/a.cedar'),
      text: FILES['full/a.cedar'],
    });
  });

  test('is what an unpacked bundle is', async () => {
    const root = folderWith();
    const options = { revision: 7, now: NOW, privateKey: keys.privateKey };
    const bundle = packBundle([join(root, 'full'), join(root, 'plain')], options);
    const entries = readTar(gunzipSync(bundle)).map(({ path, content }) => [path, content] as const);
    const unpacked = verifyFolder(folderWith(Object.fromEntries(entries)), trusted);
    expect(unpacked.content).toBe((await openBundle(bundle, trusted)).content);
  });

  test('may be reached through symbolic links, as a mounted Kubernetes volume is', async () => {
    const root = await signedFolder();
    renameSync(join(root, 'full'), join(root, '..data'));
    symlinkSync('..data', join(root, 'full'));
    expect(verifyFolder(root, trusted).texts.policies).toHaveLength(3);
  });

  test.each<[string, (root: string) => void, string]>([
    [
      'a changed policy',
      (root) => writeFileSync(join(root, 'full/a.cedar'), policy('evil')),
      'is not what manifest',
    ],
    [
      'another policy',
      (root) => writeFileSync(join(root, 'full/c.cedar'), ''),
      'full/c.cedar: is not in manifest',
    ],
    [
      'a policy in no set',
      (root) => writeFileSync(join(root, 'c.cedar'), ''),
      'c.cedar: is not in manifest.json',
    ],
    ['a missing policy', (root) => rmSync(join(root, 'full/a.cedar')), 'is in manifest.json but missing'],
    [
      'a missing schema',
      (root) => rmSync(join(root, 'schema.cedarschema')),
      'is in manifest.json but missing',
    ],
    [
      'a schema of its own',
      (root) => writeFileSync(join(root, 'full/schema.cedarschema'), ''),
      'is not in manifest',
    ],
    ['no signature', (root) => rmSync(join(root, 'manifest.sig')), 'manifest.sig: is missing'],
    ['no manifest', (root) => rmSync(join(root, 'manifest.json')), 'manifest.json: is missing'],
    [
      'a manifest that is too large',
      (root) => writeFileSync(join(root, 'manifest.json'), Buffer.alloc(1024 * 1024 + 1)),
      'larger than',
    ],
    ['an unreadable policy', (root) => symlinkSync('nowhere', join(root, 'full/c.cedar')), 'cannot be read'],
  ])('is refused with %s', async (_, change, message) => {
    const root = await signedFolder();
    change(root);
    expect(() => verifyFolder(root, trusted)).toThrow(message);
  });

  test('does not care about files that are no policies', async () => {
    const root = await signedFolder();
    writeFileSync(join(root, 'full/README.md'), 'changed');
    writeFileSync(join(root, 'notes.txt'), 'new');
    expect(verifyFolder(root, trusted).revision).toBe(7);
  });

  test('is refused when another key signed it', async () => {
    const root = await signedFolder();
    expect(() => verifyFolder(root, { publicKeys: [newKeys().publicKey] })).toThrow(
      'manifest.sig: is by the key',
    );
  });

  test('is not signed when it would not verify', async () => {
    const root = folderWith({ 'set/a.cedar': '' });
    const options = { revision: 1, now: NOW, privateKey: keys.privateKey };
    await expect(signFolder(root, readRootFolder(root), options)).rejects.toThrow(
      'has no schema.cedarschema',
    );
    expect(() => verifyFolder(root, { publicKeys: [] })).toThrow('manifest.json: is missing');
  });

  test('takes a newer signature over an older one', async () => {
    const root = await signedFolder(7);
    writeFileSync(join(root, 'full/c.cedar'), policy('c'));
    await signFolder(root, readRootFolder(root), { revision: 8, now: NOW, privateKey: keys.privateKey });
    expect(verifyFolder(root, trusted)).toMatchObject({ revision: 8 });
  });
});
