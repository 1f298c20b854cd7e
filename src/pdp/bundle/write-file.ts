import { randomUUID } from 'node:crypto';
import { open, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';

/**
 * Writes a file so that a crash leaves the old content or the new, never part of it: a new file beside it, synced, then renamed over it.
 * Rejects with the error of `node:fs`.
 */
export async function writeAtomically(file: string, content: Buffer, mode: number): Promise<void> {
  // A name nobody can foresee or share: several processes may keep the same file.
  const beside = `${file}.${randomUUID()}.tmp`;
  try {
    await writeSynced(beside, content, mode);
    await rename(beside, file);
  } catch (error) {
    await rm(beside, { force: true });
    throw error;
  }
  await syncFolder(dirname(file));
}

async function writeSynced(file: string, content: Buffer, mode: number): Promise<void> {
  await using handle = await open(file, 'wx', mode);
  await handle.writeFile(content);
  await handle.sync();
}

async function syncFolder(folder: string): Promise<void> {
  await using handle = await open(folder, 'r');
  await handle.sync();
}
