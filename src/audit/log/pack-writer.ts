import { LRUCache } from 'lru-cache';
import type { Blob } from '../record/blob.ts';

/** Digests that are remembered; one that is forgotten is stored once more, which costs only space. */
const MAX_KNOWN = 100_000;

/** Blobs that are not in the pack yet. */
export interface Missing {
  /** Lines of the pack: digest, space, payload. */
  readonly lines: readonly string[];
  /** To be called when they are in the pack. */
  written(): void;
}

/** Knows what the pack of the segment in use holds, so that each blob is stored once. */
export class PackWriter {
  readonly #known = new LRUCache<string, true>({ max: MAX_KNOWN });

  /** A new pack begins: it holds nothing. */
  begin(): void {
    this.#known.clear();
  }

  /** Those of the blobs that the pack does not hold; `undefined`: it holds them all. */
  missing(blobs: readonly Blob[]): Missing | undefined {
    const found = new Map<string, Blob>();
    for (const blob of blobs) if (this.#known.get(blob.digest) === undefined) found.set(blob.digest, blob);
    if (found.size === 0) return undefined;
    return {
      lines: [...found.values()].map((blob) => `${blob.digest} ${blob.payload()}`),
      written: () => {
        for (const digest of found.keys()) this.#known.set(digest, true);
      },
    };
  }
}
