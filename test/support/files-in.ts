import { readFile, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { eventually } from './eventually.ts';

/** One file of a folder. */
export interface FoundFile {
  readonly name: string;
  readonly bytes: Buffer;
}

/** Every file below a folder that a process may write to meanwhile: where one is renamed on the way, all are listed again. */
export async function filesIn(dir: string): Promise<FoundFile[]> {
  return eventually(`the files of ${dir} stay while they are read`, () => filesNow(dir).catch(unlessGone));
}

async function filesNow(dir: string): Promise<FoundFile[]> {
  const entries = await readdir(dir, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile());
  return Promise.all(
    files.map(async ({ name, parentPath }) => ({ name, bytes: await readFile(join(parentPath, name)) })),
  );
}

function unlessGone(error: unknown): undefined {
  if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
}
