import { mkdir, open } from 'node:fs/promises';
import { dirname } from 'node:path';
import { BUNDLE_LIMITS } from './policy-path.ts';
import { writeAtomically } from './write-file.ts';

/** A bundle as it came from its source. */
export interface CachedBundle {
  readonly bytes: Buffer;
  /** Unix ms. */
  readonly fetchedAt: number;
}

/** Keeps the last bundle that was taken, for a restart without the source. What it gives back is not trusted: open it anew. */
export interface BundleCache {
  /** The bundle in the file; `undefined` where there is no file. Rejects with an `Error` in an operator's words. */
  read(): Promise<CachedBundle | undefined>;
  /** Rejects with the error of `node:fs`; the file then holds what it held. */
  write(bundle: CachedBundle): Promise<void>;
}

const HEADER_BYTES = 4096;

/**
 * A cache in a file: a line of JSON, then the bytes of the bundle. It belongs to one source: a file that another one filled is refused,
 * so that a changed URL never serves the policies of the old one.
 */
export function createBundleCache(file: string, source: string): BundleCache {
  return {
    async read() {
      const content = await readIfThere(file);
      return content === undefined ? undefined : parse(content, source);
    },
    async write({ bytes, fetchedAt }) {
      const header = `${JSON.stringify({ version: 1, source, fetchedAt })}\n`;
      await mkdir(dirname(file), { recursive: true, mode: 0o700 });
      await writeAtomically(file, Buffer.concat([Buffer.from(header), bytes]), 0o600);
    },
  };
}

function parse(content: Buffer, source: string): CachedBundle {
  const end = content.subarray(0, HEADER_BYTES).indexOf('\n');
  const header = end < 0 ? undefined : parseHeader(content.toString('utf8', 0, end));
  if (!header) throw new Error('is not a cached policy bundle');
  if (header.source !== source) throw new Error(`holds a bundle of another source (${header.source})`);
  return { bytes: content.subarray(end + 1), fetchedAt: header.fetchedAt };
}

function parseHeader(text: string): { readonly source: string; readonly fetchedAt: number } | undefined {
  try {
    const value: unknown = JSON.parse(text);
    const { version, source, fetchedAt } = value as Readonly<Record<string, unknown>>;
    if (version !== 1 || typeof source !== 'string' || !Number.isSafeInteger(fetchedAt)) return undefined;
    return { source, fetchedAt: fetchedAt as number };
  } catch {
    return undefined;
  }
}

async function readIfThere(file: string): Promise<Buffer | undefined> {
  try {
    await using handle = await open(file, 'r');
    const { size } = await handle.stat();
    if (size <= BUNDLE_LIMITS.packedBytes + HEADER_BYTES) return await handle.readFile();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
  throw new Error('is larger than any bundle');
}
