import { createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { gunzipSync, gzipSync } from 'node:zlib';
import { afterAll } from 'vitest';
import { packBundle } from '../../../../src/pdp/bundle/bundle.ts';
import { readTar, type TarEntry, writeTar } from '../../../../src/pdp/bundle/tar.ts';

/** 2026-01-01T00:00:00Z in Unix ms. */
export const NOW = Date.UTC(2026, 0, 1);

/** A schema that the sample policies are valid under. */
export const SCHEMA = `entity User;
entity File;
action view appliesTo { principal: [User], resource: [File] };
`;

/** Two sets that share the schema at the top; the second has every kind of file. */
export const FILES: Readonly<Record<string, string>> = {
  'schema.cedarschema': SCHEMA,
  'plain/plain.cedar': policy('plain'),
  'full/a.cedar': policy('full-a'),
  'full/b.cedar': policy('full-b'),
  'full/entities.json': '[]',
  'full/bindings.yaml': 'bindings: []\n',
  'full/links.json': '[]',
  'full/README.md': 'not a policy',
};

/** A permit with this id. */
export function policy(id: string): string {
  return `@id("${id}")\npermit (principal == User::"${id}", action, resource);\n`;
}

const made: string[] = [];
afterAll(() => {
  for (const folder of made.splice(0)) rmSync(folder, { recursive: true, force: true, maxRetries: 20 });
});

/** Writes files into a new folder that goes with the test file. */
export function folderWith(files: Readonly<Record<string, string | Buffer>> = FILES): string {
  const root = mkdtempSync(join(tmpdir(), 'pdp-bundle-'));
  made.push(root);
  for (const [path, content] of Object.entries(files)) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), content);
  }
  return root;
}

/** An Ed25519 key pair. */
export interface Keys {
  readonly privateKey: KeyObject;
  readonly publicKey: KeyObject;
}

/** Makes an Ed25519 key pair. */
export function newKeys(): Keys {
  const { privateKey } = generateKeyPairSync('ed25519');
  return { privateKey, publicKey: createPublicKey(privateKey) };
}

/** Packs one set whose only policy has the id `id`. */
export function bundleOf(id: string, revision: number, keys?: Keys): Buffer {
  const root = folderWith({ 'schema.cedarschema': SCHEMA, 'set/set.cedar': policy(id) });
  return packBundle([join(root, 'set')], {
    revision,
    now: NOW,
    ...(keys ? { privateKey: keys.privateKey } : {}),
  });
}

/** Repacks a bundle with its entries changed by hand. */
export function repack(bundle: Buffer, change: (entries: TarEntry[]) => TarEntry[]): Buffer {
  return gzipSync(writeTar(change(readTar(gunzipSync(bundle)))));
}

/** Repacks a bundle with the bytes of its archive changed by hand. */
export function retar(bundle: Buffer, change: (tar: Buffer) => Buffer): Buffer {
  return gzipSync(change(gunzipSync(bundle)));
}
