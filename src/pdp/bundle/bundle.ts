import type { KeyObject } from 'node:crypto';
import { promisify } from 'node:util';
import { constants, gunzip, gzipSync, type Gunzip } from 'node:zlib';
import type { InputError } from '../errors.ts';
import { type BundleTexts, textsOf } from './bundle-texts.ts';
import { assertFilesMatch, contentDigest, parseManifest, writeManifest } from './manifest.ts';
import { readSetFolders } from './policy-folders.ts';
import { BUNDLE_LIMITS, MANIFEST_PATH, type PolicyFiles, refusal, SIGNATURE_PATH } from './policy-path.ts';
import { signManifest, verifyManifest } from './signature.ts';
import { readTar, writeTar } from './tar.ts';

/** How policies are published. */
export interface PublishOptions {
  /** Higher than that of the publication before; 1 to 2^53 - 1. */
  readonly revision: number;
  /** Ed25519; absent: unsigned. */
  readonly privateKey?: KeyObject;
  /** Unix ms, written into the manifest. */
  readonly now: number;
}

/** What a bundle or a signed folder holds, once everything in it is verified. */
export interface OpenedBundle {
  readonly texts: BundleTexts;
  readonly revision: number;
  /** RFC 3339. */
  readonly created: string;
  /** SHA-256, hex, over paths and contents; neither revision nor time change it. */
  readonly content: string;
  /** Id of the key whose signature was verified; absent where no public key was given. */
  readonly signedBy?: string;
}

/** Whose signatures are taken. */
export interface Trust {
  /** Ed25519 public keys; empty: unsigned is accepted, and signatures are not looked at. */
  readonly publicKeys: readonly KeyObject[];
}

/**
 * Packs policy set folders into a `.tar.gz`. Equal files, revision, key and time give equal bytes. Throws `InputError` where the folders
 * cannot be read or would not make a bundle that opens.
 */
export function packBundle(folders: readonly string[], options: PublishOptions): Buffer {
  const files = readSetFolders(folders);
  textsOf(files);
  const own = publication(files, options);
  const tar = writeTar([...own, ...files].map(([path, content]) => ({ path, content })));
  if (tar.length > BUNDLE_LIMITS.unpackedBytes) throw tooLarge(BUNDLE_LIMITS.unpackedBytes, 'unpacked');
  const packed = gzipSync(tar, { level: constants.Z_BEST_COMPRESSION });
  if (packed.length > BUNDLE_LIMITS.packedBytes) throw tooLarge(BUNDLE_LIMITS.packedBytes, 'packed');
  // The header names the operating system (RFC 1952 §2.3.1); 255 is "unknown", so that all of them pack the same bytes.
  packed[9] = 255;
  return packed;
}

/** The manifest of files, and its signature where there is a key, by path. */
export function publication(files: PolicyFiles, options: PublishOptions): Map<string, Buffer> {
  const manifest = writeManifest(files, options.revision, options.now);
  const made = new Map([[MANIFEST_PATH, manifest]]);
  if (options.privateKey)
    made.set(SIGNATURE_PATH, Buffer.from(signManifest(manifest, options.privateKey), 'latin1'));
  return made;
}

/**
 * Opens a bundle and verifies all of it: the signature before anything else is believed, then that the manifest names each file with
 * this very content and no other. Nothing touches the disk; inflating happens off the event loop.
 *
 * Rejects with `InputError` naming the entry at fault.
 */
export async function openBundle(bytes: Buffer, trust: Trust): Promise<OpenedBundle> {
  const entries = readTar(await unpacked(bytes));
  return verifyFiles(new Map(entries.map(({ path, content }) => [path, content])), trust);
}

/** Verifies files that hold a manifest and perhaps a signature among them. Throws `InputError` naming the file at fault. */
export function verifyFiles(all: PolicyFiles, trust: Trust, nameOf?: (path: string) => string): OpenedBundle {
  const files = new Map(all);
  const bytes = files.get(MANIFEST_PATH);
  if (!bytes) throw refusal({ where: MANIFEST_PATH, message: 'is missing' });
  const signedBy = verifyManifest(bytes, files.get(SIGNATURE_PATH), trust.publicKeys);
  files.delete(MANIFEST_PATH);
  files.delete(SIGNATURE_PATH);
  const manifest = parseManifest(bytes);
  assertFilesMatch(manifest, files);
  return {
    texts: textsOf(files, nameOf),
    revision: manifest.revision,
    created: manifest.created,
    content: contentDigest(manifest),
    ...(signedBy === undefined ? {} : { signedBy }),
  };
}

/** With `info`, Node hands out the engine too, which tells how much of the input it used; the types do not know that. */
const inflate = promisify(gunzip) as unknown as (
  bytes: Buffer,
  options: { readonly maxOutputLength: number; readonly info: true },
) => Promise<{ readonly buffer: Buffer; readonly engine: Gunzip }>;

async function unpacked(bytes: Buffer): Promise<Buffer> {
  if (bytes.length > BUNDLE_LIMITS.packedBytes) throw tooLarge(BUNDLE_LIMITS.packedBytes, 'packed');
  try {
    const { buffer, engine } = await inflate(bytes, {
      maxOutputLength: BUNDLE_LIMITS.unpackedBytes,
      info: true,
    });
    if (engine.bytesWritten === bytes.length) return buffer;
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : undefined;
    if (code === 'ERR_BUFFER_TOO_LARGE') throw tooLarge(BUNDLE_LIMITS.unpackedBytes, 'unpacked');
    throw refusal({ where: 'archive', message: `is not a whole gzip file (${(error as Error).message})` });
  }
  throw refusal({ where: 'archive', message: 'goes on after the end of the gzip data' });
}

function tooLarge(limit: number, what: 'packed' | 'unpacked'): InputError {
  return refusal({
    where: 'archive',
    message: `is larger than the ${limit} bytes a bundle may have ${what}`,
  });
}
