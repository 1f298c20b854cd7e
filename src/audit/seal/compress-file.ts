import { createHash } from 'node:crypto';
import { type BigIntStats, closeSync, fsyncSync, openSync, readSync, statSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';
import { gunzipSync, gzipSync } from 'node:zlib';
import { DRAFT, type SealFs, withFile } from './seal-fs.ts';

/** Bytes for one step: some tens of ms. */
const CHUNK = 4 * 1024 * 1024;
/** Of zlib: half the work of its default, for files that are larger by a third. */
const LEVEL = 3;

/**
 * Replaces a file by its gzip, `<path>.gz`, a step at a time: one gzip member for each step (RFC 1952 section 2.2), so that the work can stop in between and
 * none of it is done by the thread pool. The original goes only after what was written has been read back, decompressed and found to be the same
 * (SHA-256), and only if nobody has touched it meanwhile. Throws the system's error, or an `Error` where the two differ; the original is then there.
 */
export function* compressFile(path: string, fs: SealFs): Generator<void, void> {
  const before = statSync(path, { bigint: true });
  const draft = `${path}.gz${DRAFT}`;
  try {
    const { digest, members } = yield* written(path, draft);
    if ((yield* digestOf(draft, members)) !== digest)
      throw new Error(`${path} cannot be compressed: what was written is not what was read`);
    assertUntouched(path, before);
    fs.rename(draft, `${path}.gz`);
  } finally {
    fs.remove(draft);
  }
  fs.syncFolder(dirname(path));
  assertUntouched(path, before);
  fs.remove(path);
  fs.syncFolder(dirname(path));
}

interface Written {
  /** SHA-256 of what was read. */
  readonly digest: string;
  /** Bytes of each gzip member. */
  readonly members: readonly number[];
}

function* written(path: string, draft: string): Generator<void, Written> {
  const hash = createHash('sha256');
  const members: number[] = [];
  const from = openSync(path, 'r');
  const to = openSync(draft, 'w', 0o600);
  try {
    const buffer = Buffer.allocUnsafe(CHUNK);
    for (;;) {
      const bytes = buffer.subarray(0, readSync(from, buffer, 0, CHUNK, null));
      // An empty file gets one empty member.
      if (bytes.length === 0 && members.length > 0) break;
      hash.update(bytes);
      const member = gzipSync(bytes, { level: LEVEL });
      for (let at = 0; at < member.length;) at += writeSync(to, member, at);
      members.push(member.length);
      yield;
    }
    fsyncSync(to);
  } finally {
    closeSync(from);
    closeSync(to);
  }
  return { digest: hash.digest('hex'), members };
}

/** SHA-256 of what the members in a file decompress to. */
function* digestOf(path: string, members: readonly number[]): Generator<void, string> {
  const hash = createHash('sha256');
  const fd = openSync(path, 'r');
  try {
    for (const length of members) {
      const member = Buffer.allocUnsafe(length);
      readSync(fd, member, 0, length, null);
      hash.update(gunzipSync(member));
      yield;
    }
  } finally {
    closeSync(fd);
  }
  return hash.digest('hex');
}

function assertUntouched(path: string, before: BigIntStats): void {
  const now = statSync(path, { bigint: true });
  const same = now.ino === before.ino && now.size === before.size && now.mtimeNs === before.mtimeNs;
  if (!same) throw new Error(`${path} was changed while it was compressed`);
}

/** The first bytes of a file that {@link compressFile} made, or of one that is not compressed. */
export function firstBytes(path: string, length: number): Buffer {
  const bytes = withFile(openSync(path, 'r'), (fd) => {
    const buffer = Buffer.alloc(length);
    return buffer.subarray(0, readSync(fd, buffer, 0, length, 0));
  });
  // Z_SYNC_FLUSH (2): what is there is only the beginning.
  return path.endsWith('.gz') ? gunzipSync(bytes, { finishFlush: 2 }) : bytes;
}
