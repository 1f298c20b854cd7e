import type { LineSource } from './line-reader.ts';
import { linesOf } from './segment-source.ts';

/** A blob as it is stored. */
export interface StoredBlob {
  readonly digest: string;
  /** JSON text, as it was written. */
  readonly payload: Buffer;
}

const SPACE = 0x20;

/** Reads the blobs of a pack, in order. What is no blob, or half a one, is left out: who needs it finds it missing. */
export async function* readPack(source: LineSource): AsyncGenerator<StoredBlob> {
  for await (const { lines, torn } of linesOf(source)) {
    if (torn) return;
    for (const line of lines) {
      const space = line.indexOf(SPACE);
      if (space > 0) yield { digest: line.toString('latin1', 0, space), payload: line.subarray(space + 1) };
    }
  }
}

/** What a pack holds, in memory. */
export interface Pack {
  /** The payload of a blob; `undefined`: it is not there. */
  get(digest: string): Buffer | undefined;
}

/** Reads a pack, or of it only the blobs that are `wanted`. */
export async function loadPack(source: LineSource | undefined, wanted?: ReadonlySet<string>): Promise<Pack> {
  const blobs = new Map<string, Buffer>();
  if (source === undefined) return blobs;
  for await (const { digest, payload } of readPack(source)) {
    // A slice would keep the whole chunk that was read.
    if (wanted?.has(digest) !== false && !blobs.has(digest)) blobs.set(digest, Buffer.from(payload));
  }
  return blobs;
}
